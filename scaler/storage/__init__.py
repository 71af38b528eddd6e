"""Values in files: written once by one process, mapped by any other on its host, and gone with their owner."""
