"""`python -m flows.service.run_engine`: the process of a run, which Prefect's engine takes over.

A process that starts others by `spawn` has each of them import its main module. That of Prefect's engine takes 1.1
CPU-s, for every process that crops; this one imports nothing.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("prefect.engine", run_name="__main__")
