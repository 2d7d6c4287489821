"""What a whole command would cost, as JSON: the answer to `--dry-run`. Sends no request, and writes nothing."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from flows.configuration.setting_groups import SettingValues, changed, of_flow
from flows.configuration.training_config import training_config
from flows.forecast.crop_cost import crop_cost, disk_cost
from flows.forecast.fetch_cost import FetchCost, fetch_cost
from flows.forecast.train_cost import train_cost
from flows.selection import Selection
from storage.files.lake import Lake
from tasks.dataset.split import SplitRules, check_enough_people
from tasks.faces.method_choice import datasets_of, methods_of
from tasks.links.list_source import open_source
from tasks.links.sources import sources_named

Cost = dict[str, Any]


def ingest_cost(lake: Lake, selection: Selection, settings: SettingValues) -> Cost:
    """The cost of `ingest`, for each source.

    Raises:
        UsageError: as `fetch_cost`.
    """
    fetches = _fetches(lake, selection, of_flow(settings, "ingest"))
    needed = sum(one.num_bytes for one in fetches)
    return {"fetch": [asdict(one) for one in fetches], "disk": disk_cost(lake, needed)}


def cropping_cost(lake: Lake, source: str, method: str, settings: SettingValues, *, check_boxes: bool) -> Cost:
    """The cost of `crop`, for each source.

    Raises:
        UsageError: as `methods_of`.
    """
    crops = [
        crop_cost(lake, one.name, methods_of(method, one), settings, check_boxes=check_boxes)
        for one in sources_named(source, lake)
    ]
    return {"crop": [asdict(one) for one in crops], "disk": disk_cost(lake, sum(one.num_bytes for one in crops))}


def pipeline_cost(
    lake: Lake,
    selection: Selection,
    method: str,
    dataset: str,
    train: dict[str, Any],
    settings: SettingValues,
    *,
    num_trainings: int = 1,
) -> Cost:
    """The cost of `pipeline`: of ingest and crop with the pictures expected, of publication, and of training.

    Args:
        dataset: datasets are named `<dataset>-<method>`.
        train: the arguments of `training_config`, without model and settings.
        num_trainings: of equal length, one after the other.

    Raises:
        UsageError: as `fetch_cost` and `datasets_of`, or there are too few people for a training.
    """
    from flows.pipeline import model_name  # noqa: PLC0415 - imports Prefect

    alone = [replace(selection, source=one) for one in selection.sources]
    sources = [open_source(lake, one.source, one.links, one.recipe) for one in alone]
    fetches = _fetches(lake, selection, of_flow(settings, "ingest"))
    of_crop, crops = of_flow(settings, "crop"), []
    for source, fetch in zip(sources, fetches, strict=True):
        new = round(fetch.links * fetch.share_accepted)
        crops.append(crop_cost(lake, source.name, methods_of(method, source), of_crop, new=new))
    datasets = datasets_of(method, *sources)
    cropped = sum(one.num_bytes for one in crops)
    published = cropped * len(datasets) // len(crops[0].methods)
    cost = {
        "fetch": [asdict(one) for one in fetches],
        "crop": [asdict(one) for one in crops],
        "disk": disk_cost(lake, sum(one.num_bytes for one in fetches) + cropped + published),
    }
    if not all(source.names_people for source in sources):
        return cost
    for one in fetches:
        check_enough_people(one.people, changed(SplitRules(), "split", settings))
    model = model_name(f"{dataset}-{datasets[-1]}")
    preset, config = training_config(model, **train, settings=of_flow(settings, "train"))
    return cost | {"train": asdict(train_cost(lake, None, preset, config, num_trainings))}


def _fetches(lake: Lake, selection: Selection, settings: SettingValues) -> list[FetchCost]:
    return [fetch_cost(lake, replace(selection, source=one), settings) for one in selection.sources]
