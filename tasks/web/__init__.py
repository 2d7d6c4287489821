"""HTTP fetching with limits, per-host rate control, and no access to private addresses."""
