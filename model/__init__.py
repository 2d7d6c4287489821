"""Training and evaluation: reads dataset versions, writes model versions."""
