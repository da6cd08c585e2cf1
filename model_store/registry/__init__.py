"""Which model version is used: aliases and their moves, gates, certificates, comparison."""
