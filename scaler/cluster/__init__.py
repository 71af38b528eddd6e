"""Everything on this machine in one call: a scheduler and worker clusters as child processes."""
