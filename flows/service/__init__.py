"""The service: Prefect's server, workers, and all that the server must know, started and stopped as one."""
