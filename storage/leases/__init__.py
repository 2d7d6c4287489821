"""Which run has which unit, and which hosts."""
