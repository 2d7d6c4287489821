"""Takedown: removal of people and pictures that must no longer be used."""
