"""Names, sizes, durations and JSON: how text is checked when it comes in, and shown."""
