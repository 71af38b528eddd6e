"""The commands: parse, build one configuration record, make one call, turn errors into exit codes."""
