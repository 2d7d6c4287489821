"""The service: a Prefect server, its deployments and its workers, started and stopped together."""
