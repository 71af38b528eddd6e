"""Run Python functions a million times, or on a thousand machines: a scheduler, workers, and the client to both."""
