"""A model version in use: embeddings of photos, comparison and search."""
