"""Inference with a model version: embeddings, comparison and search of photos."""
