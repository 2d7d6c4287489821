"""Recipes, the meaning of a list's columns: the format, presets, and guessing."""
