"""Words and rules of the node: standard library and `ModelRef` only."""
