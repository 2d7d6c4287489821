"""The configuration of a training: presets, choices and ranges."""
