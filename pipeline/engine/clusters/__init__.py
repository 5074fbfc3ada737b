"""Clusters that a run starts for itself; `--scheduler` joins one that is running."""
