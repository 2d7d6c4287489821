"""The embedder that scores faces: a model of the lake, features fitted to a dataset, or weights in a file."""

from __future__ import annotations

from pathlib import Path

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import ModelVersion, open_model


def choose_embedder(
    lake: Lake, model: str | None, fit_on: str | None, weights: Path | str | None
) -> ModelVersion | DatasetVersion | Path:
    """What the one given option names. Imports no torch, so that a wrong name is refused at once.

    Raises:
        UsageError: not exactly one option is given, or the lake has no such version.
    """
    match model, fit_on, weights:
        case str(), None, None:
            return open_model(lake, model)
        case None, str(), None:
            return open_dataset(lake, fit_on)
        case None, None, str() | Path():
            return Path(weights)
    raise UsageError(
        "give exactly one of --model NAME[@VERSION] of the lake, --fit-on DATASET[@VERSION], --weights FILE"
    )
