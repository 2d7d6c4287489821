"""Telemetry of a run: progress bars, log lines, Prefect artifacts and Prometheus counters."""
