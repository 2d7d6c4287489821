"""Results of experiments with given figures."""

from __future__ import annotations

from typing import Any

AROUND = 0.05


def report(auc: float, people: int = 30) -> dict[str, Any]:
    """Metrics of one model on one test."""
    losses = {"unit": {"1": 0.5, "2": 0.7}, "unit_interval": {"1": [0.4, 0.6]}, "raw": {}, "raw_interval": {}}
    return {
        "num_identities": people,
        "auc": auc,
        "auc_interval": [auc - AROUND, auc + AROUND],
        "accuracy": 0.8,
        "accuracy_interval": [0.7, 0.9],
        "tar_at_far": {"0.01": None, "0.001": None},
        "tar_at_far_interval": {"0.01": None, "0.001": None},
        "triplet": losses,
    }


def cell(method: str, margin: float, seed: int = 0, auc: float = 0.8, people: int = 30) -> dict[str, Any]:
    """One training of the grid."""
    return {
        "method": method,
        "margin": margin,
        "seed": seed,
        "dataset": f"faces-{method}@0123456789abcdef",
        "model": f"experiment@{method}-{margin:g}-{seed}",
        "own": report(auc, people),
        "common": report(auc, people),
    }


def difference(first: dict[str, Any], second: dict[str, Any], half: float) -> dict[str, Any]:
    """The AUC of the second minus that of the first, with an interval of `half` on both sides."""
    value = second["common"]["auc"] - first["common"]["auc"]
    return {"from": first, "to": second, "auc": {"difference": value, "interval": [value - half, value + half]}}


def experiment(
    cells: list[dict[str, Any]], differences: list[dict[str, Any]] | None = None, people: int = 30
) -> dict[str, Any]:
    """The content of `experiments/<id>.json`."""
    common = {"num_identities": people, "num_faces": 3 * people}
    return {"common_test": common, "cells": cells, "differences": differences or []}
