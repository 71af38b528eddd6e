"""The scheduler process: its configuration, and the asyncio shell around links and core."""
