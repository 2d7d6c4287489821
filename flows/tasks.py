"""Every Prefect task: name, run name, retries, tags and cache policy, on one page.

Tasks run in the process of their flow. Their arguments are the lake, paths, tables of rows (for `crop`, of all planned
lines), and handles such as a lease, a connection or a progress bar; never pictures. No result is cached or persisted:
the lake records what is done, so a task that runs again finds its work finished and returns.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flows.configuration.settings import Device, load_settings
from flows.runs.engine import attempt, task
from flows.selection import Selection
from flows.telemetry import artifacts
from flows.telemetry.progress import Track
from model.configuration.config import TrainConfig, model_version_id
from storage.errors import LeaseLost, UsageError
from storage.files.lake import Lake
from storage.leases.leases import Lease, alone
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion, has_model
from storage.versions.readers import reading
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.people import PeopleRules
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import Published, publish_source
from tasks.faces.crop_shard import crop_shard, uncropped
from tasks.faces.detect_shard import detect_shard, is_detected
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch.fetch_unit import Transport, UnitCalls, fetch_unit, to_pending
from tasks.fetch.ledger import read_ledger, still_pending
from tasks.images.validation_pool import ValidationPool
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import score_faces, write_cleaned
from tasks.links.list_source import open_source
from tasks.maintenance.prune.apply import Pruned, apply
from tasks.maintenance.prune.decide import Plan

# Imported by the tasks that use them: `model` imports torch, which takes four seconds, and the collection of link files
# aiohttp, a quarter of one.
if TYPE_CHECKING:
    from model.compare.experiment_grid import Cell
    from model.training.training_loop import Progress
    from model.versions.embedders import Embedder
    from tasks.links.collect import LinksSummary
    from tasks.links.link_server import LinkLimits


# Errors that another attempt does not change: wrong usage, and a unit that another run has taken over.
_FINAL = (UsageError, LeaseLost)
OnProgress = Callable[[int], None]


@task(
    name="links",
    task_run_name="links of {selection.source}",
    retries=2,
    retry_delay_seconds=30,
    tags=["network"],
    final=_FINAL,
)
async def links_task(lake: Lake, selection: Selection, limits: LinkLimits) -> LinksSummary:
    """Update the link lines of a source."""
    from tasks.links.collect import collect_links  # noqa: PLC0415

    chosen = open_source(lake, selection.source, selection.links, selection.recipe)
    address, names = selection.address, selection.names
    return await collect_links(lake, chosen, selection.links, connect_to=address, identities=names, limits=limits)


@task(
    name="fetch",
    task_run_name="fetch {source} unit {unit:03d}",
    retries=2,
    retry_delay_seconds=10,
    tags=["network"],
    final=_FINAL,
)
async def fetch_task(
    lake: Lake,
    source: str,
    unit: int,
    pending: pa.Table,
    transport: Transport,
    checks: ValidationPool,
    in_flight: int,
    calls: UnitCalls,
) -> int:
    """Fetch the pending candidates of one unit; a retry fetches only those still pending."""
    if attempt() > 1:
        pending = still_pending(pending, read_ledger(lake, source, ["key", "round"]))
    return await fetch_unit(
        lake, source, unit, to_pending(pending), transport, checks=checks, in_flight=in_flight, calls=calls
    )


@dataclass(frozen=True)
class CropJob:
    """What all parts of one crop run share.

    Attributes:
        lines: the planned link lines, by the key of their picture.
        methods: the crop methods to apply.
    """

    source: str
    lines: LinesByKey
    methods: list[str]
    detector: DetectorSettings
    crops: CropSettings


@dataclass(frozen=True, slots=True)
class CropDone:
    """What a task has done of a part: pictures detected, faces cropped, and the shards that it wrote tables of."""

    detected: int
    cropped: int
    made: tuple[str, ...]


@task(
    name="crop",
    task_run_name="crop {job.source} {part}",
    retries=1,
    retry_delay_seconds=10,
    tags=["cpu"],
    final=_FINAL,
)
def crop_task(
    lake: Lake,
    job: CropJob,
    part: str,
    stems: list[str],
    lease: Lease,
    pool: Executor | None,
    on_image: OnProgress,
) -> CropDone:
    """Detect the faces in a part's pictures, and crop them by each method, unless up to date.

    Raises:
        LeaseLost: another run has taken over the part; finished shards stay.
    """
    detected = cropped = 0
    made = dict[str, None]()

    def on_progress(num: int) -> None:
        lease.check()
        on_image(num)

    for stem in stems:
        lease.check()
        if not is_detected(lake, job.source, stem, job.detector):
            summary = detect_shard(lake, job.source, stem, job.detector, pool=pool, on_progress=on_progress)
            detected += summary.num_in
            made[stem] = None
        if missing := uncropped(lake, job.source, stem, job.lines, job.methods, settings=job.crops):
            summaries = crop_shard(lake, job.source, stem, job.lines, missing, settings=job.crops, pool=pool)
            cropped += sum(summary.num_out for summary in summaries.values())
            made[stem] = None
    return CropDone(detected, cropped, tuple(made))


@task(
    name="compare",
    task_run_name="compare the pictures of {source}",
    retries=0,
    tags=["cpu"],
)
def compare_task(lake: Lake, source: str, rules: DedupeRules, people: PeopleRules = PeopleRules()) -> bool:
    """Deduplicate the pictures of a source unless up to date; return whether there was work to do."""
    with alone(lake, "compare", source, "all", good_for_s=load_settings().lease_s), lake.listing_once():
        return compare_pictures(lake, source, rules, people)


@task(
    name="publish",
    task_run_name="publish {request.name} by {request.method}",
    retries=0,
    tags=["cpu"],
)
def publish_task(lake: Lake, request: Request, min_change: float, on_sample: OnProgress) -> Published:
    """Decide the outcome of every link line, and publish the remaining samples as a dataset version."""
    return publish_source(lake, request, min_change=min_change, on_progress=on_sample)


@task(
    name="report",
    task_run_name="report on {dataset}",
    retries=0,
    tags=["cpu"],
)
def dataset_report_task(dataset: DatasetVersion) -> Path:
    """Write the HTML report on a dataset version, and return its path."""
    from flows.reports.dataset_report import write_report  # noqa: PLC0415

    return write_report(dataset)


@task(
    name="model report",
    task_run_name="report on {model}",
    retries=0,
    tags=["gpu"],
)
def model_report_task(model: ModelVersion, test: DatasetVersion, device: Device) -> Path:
    """Evaluate a model version on the test split of a dataset version, and write its HTML report; return the path."""
    from flows.reports.model_report import write_model_report  # noqa: PLC0415

    with reading(model.lake, datasets=[test], models=[model], good_for_s=load_settings().lease_s):
        return write_model_report(model, test, device=device)


@task(
    name="clean",
    task_run_name="clean by {embedder}",
    retries=0,
    tags=["gpu"],
)
def clean_task(
    lake: Lake,
    folder: str,
    faces: pa.Table,
    embedder: Embedder,
    rules: CleanRules,
    device: Device,
    state: str,
    progress: Track,
) -> None:
    """Embed the faces and write their scores; embeddings of a killed run are reused."""
    from model.devices.device import resolve_device  # noqa: PLC0415
    from model.versions.embedders import embed_crops  # noqa: PLC0415

    embeddings = embed_crops(lake, faces, embedder, resolve_device(device), lake.work_folder, progress.advance)
    write_cleaned(lake, folder, score_faces(faces, embeddings, rules), state)


@task(
    name="train",
    task_run_name="train {config.name}",
    retries=0,
    tags=["gpu"],
)
def train_task(lake: Lake, dataset: DatasetVersion, config: TrainConfig, progress: Track) -> ModelVersion:
    """Train a model, or return the existing version; a killed run resumes from its last checkpoint."""
    version = model_version_id(dataset, config)
    if has_model(lake, config.name, version):
        return ModelVersion(lake, config.name, version)
    from model.training.training_loop import train  # noqa: PLC0415

    title = f"{config.name} on {dataset}"
    page = artifacts.LivePage("training", f"## {title}\n\nPreparing.\n", f"Loss of {title} so far")
    steps: list[int] = []
    losses: list[float] = []

    def on_progress(now: Progress) -> None:
        lease.check()
        steps.append(now.step)
        losses.append(now.loss)
        note = f"loss {now.loss:.3f}, {now.images_per_s:.0f} faces/s"
        progress.reach(now.step, note)
        page.show(
            lambda: (
                f"## {title}\n\nStep {now.step} of {now.steps}: {note}, learning rate "
                f"{now.learning_rate:.2g}.\n\n{artifacts.loss_plot(steps, losses)}\n"
            )
        )

    # A person and an event may start the same training: the second waits, and finds the finished version.
    good_for_s = load_settings().lease_s
    with (
        reading(dataset.lake, datasets=[dataset], good_for_s=good_for_s),
        alone(lake, "train", config.name, version, good_for_s=good_for_s) as lease,
    ):
        return train(lake, dataset, config, on_progress=on_progress, work_folder=lake.work_folder)


@task(
    name="evaluate",
    task_run_name="evaluate {cells}",
    retries=0,
    tags=["gpu"],
)
def evaluate_task(lake: Lake, cells: list[Cell], models: list[ModelVersion], device: Device) -> dict[str, Any]:
    """Evaluate all models of the grid on common test pairs."""
    from model.compare.experiment_grid import evaluate_grid  # noqa: PLC0415

    datasets = {str(cell.dataset): cell.dataset for cell in cells}.values()
    with reading(lake, datasets=datasets, models=models, good_for_s=load_settings().lease_s):
        return evaluate_grid(cells, models, device=device, work_folder=lake.work_folder)


@task(
    name="prune",
    task_run_name="prune {lake.url}",
    retries=0,
    tags=["cpu"],
)
def prune_task(lake: Lake, plan: Plan, by: str, now: datetime, progress: Track) -> Pruned:
    """Remove what a plan lets go; what a killed run has left is removed by the next one."""
    good_for_s = load_settings().lease_s
    return apply(lake, plan, by=by, now=now, good_for_s=good_for_s, on_progress=lambda what: progress.advance(1, what))
