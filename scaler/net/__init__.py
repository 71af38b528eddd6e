"""Bytes between processes: the transports, the keys, and the addresses. The only package that imports zmq."""
