"""Training: recipes, references, simulated noise, the loop, releases."""
