"""Faces: detected once in every picture, and cropped by each method."""
