"""The link between two incarnations: every message once and in order, over as many connections as it takes. Pure."""
