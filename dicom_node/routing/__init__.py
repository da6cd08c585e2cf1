"""Which routes apply to an instance, and what is planned for it."""
