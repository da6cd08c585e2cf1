"""The architectures, one file a system."""
