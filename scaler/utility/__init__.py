"""Module paths that users of Scaler know; everything in them lives elsewhere."""
