"""Functions, arguments and results to bytes and back: the only package that pickles."""
