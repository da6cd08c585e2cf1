"""``dicom-node model``: the life of a model version on a node."""
