"""Where users of Scaler import its exceptions from; nothing here is new."""
