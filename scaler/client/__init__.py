"""What users hold: the client, its futures, and the thread that talks to the scheduler."""
