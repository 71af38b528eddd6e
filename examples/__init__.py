"""Programs that show what users do; each runs as it stands."""
