"""The audit record: vocabulary of events."""
