"""One module for each peer, with a class `Peer(Base)`: the same few verbs for every system."""
