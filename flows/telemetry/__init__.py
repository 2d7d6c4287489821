"""What a run shows while it goes on: bars, lines, artifacts in the UI, counts for Prometheus."""
