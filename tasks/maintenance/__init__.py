"""Maintenance of the lake: verification and repair (`fsck`), and takedowns."""
