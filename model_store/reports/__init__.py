"""One HTML page a model version: what it is, what it does to images, and where it should not be."""
