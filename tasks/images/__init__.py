"""Pictures as bytes: formats, repair of harmless faults, bounded decoding, validation."""
