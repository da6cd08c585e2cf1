"""What is done now and then: planning, taking back, ringing again, forgetting."""
