"""Names of flow runs by their parameters, for runs that have not started: a start names the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# As `flow_run_name` of each flow: importing them all takes seconds and 200 MB.
RUN_NAMES = {
    "check": "check {lake}",
    "clean": "clean {source} {method}",
    "crop": "crop {source} {method}",
    "experiment": "experiment on {dataset}",
    "ingest": "ingest {source}",
    "pipeline": "pipeline {source}",
    "prune": "prune {lake}",
    "publish": "publish {dataset} {method}",
    "refine": "refine {model}",
    "retry": "retry {source}",
    "train": "train on {dataset} margin {margin}",
}


def run_name(flow: str, parameters: Mapping[str, Any]) -> str | None:
    """The name of a run of a flow; None for a flow that is not ours, or without a parameter of its name."""
    try:
        return RUN_NAMES[flow].format(**parameters)
    except KeyError:
        return None
