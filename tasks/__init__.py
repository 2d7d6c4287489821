"""The stages: what is done to records. Each is a plain function that knows nothing of Prefect."""
