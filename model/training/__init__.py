"""Training, from a dataset version to a model version."""
