"""From the faces of a dataset version to embeddings."""
