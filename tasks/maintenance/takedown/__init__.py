"""Takedown: people and pictures that must not be used any more."""
