"""Model versions: what is published, and how it is read."""
