"""The HTML report on a new version, drawn as the last step of its flow. A report that fails ends no run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa

from flows.configuration.settings import Device
from flows.runs.engine import run_logger
from flows.tasks import dataset_report_task, model_report_task
from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion
from tasks.label_noise.score_table import Cleaned, Cleaning


def dataset_report(dataset: DatasetVersion) -> dict[str, str]:
    """Write the report on a dataset version, if there is none; `report`, its path, or nothing if it failed."""
    path = dataset.lake.report_file(dataset.name, dataset.version)
    return _written(str(dataset), lambda: path if path.exists() else dataset_report_task(dataset))


def model_report(model: ModelVersion, test: DatasetVersion, device: Device) -> dict[str, str]:
    """Write the report on a model version, if there is none, as `dataset_report`.

    Args:
        test: the dataset version whose test split the model is evaluated on.
    """
    path = model.lake.report_file(model.name, model.version, of_model=True)
    return _written(str(model), lambda: path if path.exists() else model_report_task(model, test, device))


def doubts_report(
    lake: Lake, faces: pa.Table, cleaned: Cleaned, cleaning: Cleaning, *, source: str, method: str, state: str
) -> dict[str, str]:
    """Write the page of the doubtful faces of a source, as `dataset_report`; nothing if there is no doubt.

    Args:
        faces, cleaned, cleaning, state: as `doubtful_faces.write_doubts` takes them.
    """
    from flows.reports.doubtful_faces import write_doubts  # noqa: PLC0415

    of = {"source": source, "method": method, "state": state}
    return _written(f"faces of {source} by {method}", partial(write_doubts, lake, faces, cleaned, cleaning, **of))


def _written(what: str, write: Callable[[], Path | None]) -> dict[str, str]:
    try:
        path = write()
    except Exception as error:  # noqa: BLE001 - the result is in the lake, whatever its page lacks
        run_logger().warning("no report on %s was written: %r", what, error)
        return {}
    return {"report": str(path)} if path else {}
