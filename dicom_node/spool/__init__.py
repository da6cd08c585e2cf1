"""Files of received objects and results."""
