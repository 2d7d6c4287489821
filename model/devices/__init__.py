"""GPUs, processors and the processes that share a training."""
