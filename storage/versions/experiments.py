"""Experiments: the results of training a grid of models and evaluating all of them on one test.

    experiments/<id>.json    the cells of the grid with their figures, and the differences between them

The id is a digest of all trainings of the grid.
"""

from __future__ import annotations

from typing import Any

from storage.files.lake import Lake
from storage.text.json_shapes import COUNT, FIGURE, INTERVAL, NUMBER, Shape, require
from storage.text.names import NAME, VERSIONED
from storage.versions.models import FIGURES

_SIDE = {"method": NAME, "margin": NUMBER}
_EXPERIMENT: Shape = {
    "cells": [{**_SIDE, "model": VERSIONED, "dataset": VERSIONED, "own": FIGURES, "common?": FIGURES}, ...],
    "common_test?": {"num_identities": COUNT, "num_faces": COUNT},
    "differences?": [{"from": _SIDE, "to": _SIDE, "auc": {"difference": FIGURE, "interval": INTERVAL}}],
}


def read_experiment(lake: Lake, path: str) -> dict[str, Any]:
    """One experiment, by the path of its file; `common_test` and `differences` are there.

    Raises:
        LakeError: it is damaged.
    """
    value = lake.read_json(path)
    require(value, _EXPERIMENT, f"{lake.url}/{path}")
    return {**value, "common_test": value.get("common_test"), "differences": value.get("differences") or []}
