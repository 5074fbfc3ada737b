"""What users add: stages, captioners, layouts, features and baselines of their own, by name."""
