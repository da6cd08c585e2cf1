"""The bell that wakes workers: messages that may be lost and say nothing."""
