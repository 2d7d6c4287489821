"""Maintenance of the lake: verification and repair (`fsck`), takedowns, and merging of small tables."""
