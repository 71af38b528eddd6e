"""A worker cluster: the pure agent that decides, the shell that acts, and the processes that run user code."""
