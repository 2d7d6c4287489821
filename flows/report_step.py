"""The HTML report on a new version, drawn as the last step of its flow. A report that fails ends no run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from flows.engine import run_logger
from flows.settings import Device
from flows.tasks import dataset_report_task, model_report_task
from storage.datasets import DatasetVersion
from storage.models import ModelVersion


def dataset_report(dataset: DatasetVersion) -> dict[str, str]:
    """Write the report on a dataset version, if there is none; `report`, its path, or nothing if it failed."""
    path = dataset.lake.report_file(dataset.name, dataset.version)
    return _written(str(dataset), path, partial(dataset_report_task, dataset))


def model_report(model: ModelVersion, test: DatasetVersion, device: Device) -> dict[str, str]:
    """Write the report on a model version, if there is none, as `dataset_report`.

    Args:
        test: the dataset version whose test split the model is evaluated on.
    """
    path = model.lake.report_file(model.name, model.version, of_model=True)
    return _written(str(model), path, partial(model_report_task, model, test, device))


def _written(version: str, path: Path, write: Callable[[], Path]) -> dict[str, str]:
    try:
        return {"report": str(path if path.exists() else write())}
    except Exception as error:  # noqa: BLE001 - the version is published, whatever its page lacks
        run_logger().warning("no report on %s was written: %r", version, error)
        return {}
