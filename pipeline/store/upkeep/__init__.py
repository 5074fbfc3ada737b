"""What is done to a store outside a run: reading all of it, forgetting failures, removing."""
