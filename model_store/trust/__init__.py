"""Who released a model version, and whether it is still what they released."""
