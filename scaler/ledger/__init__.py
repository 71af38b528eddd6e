"""The truth about a client's tasks: what it waits for and what it has had. Pure."""
