"""Pairs of images of one scene as training data: found, split by patient, checked, drawn from."""
