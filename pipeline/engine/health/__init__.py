"""Health: whether tasks and workers are alive, and what is done about those that are not."""
