"""Prefect flows of the stages, the command line, the service, and reports."""
