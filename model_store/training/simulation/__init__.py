"""Noise as detectors make it: quantum and electronic noise of CT and of radiographs."""
