"""Pictures as bytes: their formats, what is mended, decoding within bounds, validation."""
