"""How flows run: with or without a Prefect server, beside other runs, and under which names."""
