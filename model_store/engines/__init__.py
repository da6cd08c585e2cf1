"""Engines: a model version made callable on one device."""
