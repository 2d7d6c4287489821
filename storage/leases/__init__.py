"""Which run has which unit."""
