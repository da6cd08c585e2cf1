"""Receives, plans, batches and records: the node itself."""
