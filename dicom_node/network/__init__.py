"""Associations: those that are accepted and those that are requested."""
