"""Verification of a lake, and its repair."""
