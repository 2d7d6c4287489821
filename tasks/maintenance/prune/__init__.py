"""Retention: which versions, tables and work files a lake keeps, and the removal of the others."""
