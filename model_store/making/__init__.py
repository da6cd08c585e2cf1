"""From a recipe to a packed version in steps, each done once; a missed limit stops them."""
