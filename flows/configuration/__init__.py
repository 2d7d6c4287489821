"""The settings of a run: what they are, and where their values come from."""
