"""What is measured, beside its peers, as ratios: ``python -m benchmarks``."""
