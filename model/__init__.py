"""Learning: knows dataset versions, not how they came to be; writes model versions."""
