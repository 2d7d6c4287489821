"""Keeping the lake fit to be trusted: whoever must be forgotten is, and what is broken is found and mended."""
