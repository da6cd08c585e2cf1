"""Networks that were trained elsewhere: what is found out about them, and how they join."""
