"""The Prefect shell and the front door: in what order the stages run, and how a person asks for it."""
