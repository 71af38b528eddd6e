"""One module for each workload: `run(peer, ...)` returns figures, and its keyword arguments are flags."""
