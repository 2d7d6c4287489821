"""Dataset versions: duplicates, selection, splits, leaks, and what is published and exported."""
