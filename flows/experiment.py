"""Experiment: train one model per crop method and margin, and compare them. Trained models are reused."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from flows.configuration.setting_groups import SettingValues, check_settings
from flows.configuration.settings import Device
from flows.configuration.training_config import Preset, training_config
from flows.reports.experiment_page import write_experiment_page
from flows.reports.experiment_report import figure_rows, markdown
from flows.runs.engine import flow, run_logger
from flows.tasks import evaluate_task, train_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from model.compare.experiment_grid import Cell, experiment_id
from model.configuration.config import TrainConfig
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.datasets import open_dataset
from storage.versions.experiments import read_experiment
from storage.versions.models import ModelVersion


@flow(name="experiment", flow_run_name="experiment on {dataset}")
def experiment(
    lake: str,
    dataset: str = "faces",
    methods: list[str] | None = None,
    margins: list[float] | None = None,
    seeds: list[int] | None = None,
    model: str = "experiment",
    preset: Preset = "auto",
    steps: int | None = None,
    device: Device = "auto",
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Train a model for every combination of method, margin and seed, and compare them on common test pairs.

    Args:
        lake: folder or URL of the lake.
        dataset: datasets are named `<dataset>-<method>`; the newest version of each is used.
        methods: crop methods; None for those of the original experiment, bbox and mtcnn.
        margins: margins of the triplet loss; None for those of the original experiment, 1 and 2.
        seeds: random seeds, one training run each; None for 0.
        model: name of the models.
        preset: smoke (a minute of a CPU), cpu (twenty), full (a GPU), or auto: full on a GPU, and smoke without.
        steps: number of batches; None for the preset's.
        device: training device; auto is a GPU if there is one.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        The content of `experiments/<id>.json` in the lake, with its path and that of its page.
    """
    store, settings = Lake(lake), check_settings(settings, "experiment")
    if varied := {"train.margin", "train.seed"} & settings.keys():
        raise UsageError(f"{min(varied)} varies in an experiment: use --margins and --seeds")
    _, recipe = training_config(model, preset=preset, steps=steps, device=device, settings=settings)
    cells = _grid(store, dataset, methods or ["bbox", "mtcnn"], margins or [1.0, 2.0], seeds or [0], recipe)
    path = store.experiment(experiment_id(cells))
    if not store.exists(path):
        models = [_trained(store, cell, f"{place} of {len(cells)}") for place, cell in enumerate(cells, 1)]
        store.write_json(path, evaluate_task(store, cells, models, device))
    result = read_experiment(store, path)
    report = str(write_experiment_page(store, path, result))
    artifacts.table("experiment", figure_rows(result), f"Metrics by method and margin: {path}")
    told = artifacts.report_line(report) + markdown(result)
    artifacts.markdown("experiment-page", lambda: told, f"Comparison by method and margin: {path}")
    run_logger().info("comparison of %d training runs: %s", len(cells), path)
    return {**result, "path": f"{store.url}/{path}", "report": report}


def _grid(
    lake: Lake, dataset: str, methods: list[str], margins: list[float], seeds: list[int], recipe: TrainConfig
) -> list[Cell]:
    """All combinations, resolved before anything is trained, so that a missing dataset fails at once."""
    versions = {method: open_dataset(lake, f"{dataset}-{method}") for method in methods}
    margins, seeds = list(dict.fromkeys(margins)), list(dict.fromkeys(seeds))
    return [
        Cell(method, version, replace(recipe, margin=margin, seed=seed))
        for (method, version), margin, seed in product(versions.items(), margins, seeds)
    ]


def _trained(lake: Lake, cell: Cell, place: str) -> ModelVersion:
    with track(f"train {place}", cell.config.steps) as progress:
        return train_task(lake, cell.dataset, cell.config, progress)
