"""Denoising of a file or an array at once: no queue, no ledger, the same stages."""
