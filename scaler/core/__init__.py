"""The scheduler as a function of its past: events in, commands out. Pure."""
