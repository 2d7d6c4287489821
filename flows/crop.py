"""Crop: detect the faces in every accepted picture once, and crop them by each method."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from itertools import combinations
from multiprocessing.connection import wait
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from flows.configuration.setting_groups import SettingValues, changed, check_settings
from flows.configuration.settings import load_settings
from flows.runs.engine import flow, run_logger
from flows.runs.table_merger import TableMerger
from flows.selection import Selection, SourceNames
from flows.tasks import CropDone, CropJob, crop_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from storage.files.lake import Lake
from storage.leases.leases import Lease, Leases
from storage.records import Outcome
from storage.tables.counts import total, totals
from tasks.dataset.face_counts import face_counts
from tasks.dataset.source_tables import lines_to_crop, read_faces, require_plan
from tasks.faces.agreement import compare, count_agreement
from tasks.faces.checked_shards import CheckedShards, checked_shards
from tasks.faces.crop_parts import crop_parts
from tasks.faces.crop_shard import uncropped
from tasks.faces.detect_shard import is_detected
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.method_choice import methods_of
from tasks.faces.methods import METHOD_CHOICES, CropSettings
from tasks.fetch.ledger import accepted, image_stems
from tasks.fetch.link_counts import link_counts
from tasks.links.sources import source_named
from tasks.maintenance.merge import gather_faces, merge_faces

# One of METHOD_CHOICES; Prefect's UI shows them all in its forms.
Method = Annotated[str, Field(json_schema_extra={"enum": list(METHOD_CHOICES)})]


# With two parts at a time, the processes stay busy while one part writes its shard.
_AT_ONCE = 2


@flow(name="crop", flow_run_name="crop {source} {method}")
def crop(
    lake: str,
    source: SourceNames = "vggface1",
    method: Method = "both",
    check_boxes: bool = True,
    report: bool = False,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Detect and crop every shard that is not up to date.

    Args:
        lake: folder or URL of the lake.
        source: source of the links, or several, `a,b`, one after the other.
        method: crop method; "both" and "agree" take bbox and mtcnn.
        check_boxes: check listed boxes against the detected faces, and correct those that match after one correction.
        report: write a report that compares all methods used so far.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        Counts of this run: pictures detected, faces cropped; and of the lake: faces by method; with `report`, its path.
        Of several sources, `sources` with the counts of each.
    """
    if len(several := Selection(source).sources) > 1:
        each = partial(crop, lake, method=method, check_boxes=check_boxes, report=report, settings=settings)
        return {"sources": {one: each(source=one) for one in several}}
    store, settings = Lake(lake), check_settings(settings, "crop")
    detector = changed(load_settings().detector(), "detect", settings)
    crops = changed(CropSettings(check_boxes=check_boxes), "crop", settings)
    methods = methods_of(method, source_named(source, store))
    require_plan(store, source)
    done, faces = _crop_shards(store, source, methods, detector, crops)
    cropped = sum(one.cropped for one in done)
    rows = [{"method": one, "outcome": word, "lines": num} for one in methods for word, num in faces[one].items()]
    artifacts.table(
        "crop-outcomes",
        rows or [{"method": "", "outcome": "no pictures yet", "lines": 0}],
        f"crop {source}: outcomes",
    )
    if cropped:
        some = f"Some faces of {source} by {methods[-1]}"
        artifacts.markdown("crop-faces", lambda: f"## {some}\n\n{_some_faces(store, source, methods[-1])}\n", some)
    run_logger().info("crop %s: %s", source, faces)
    written = {"report": _report(store, source)} if report else {}
    return written | {
        "detected": sum(one.detected for one in done),
        "cropped": cropped,
        "faces": {one: faces[one].get(Outcome.ACCEPTED.value, 0) for one in methods},
    }


def _crop_shards(
    lake: Lake, source: str, methods: list[str], detector: DetectorSettings, crops: CropSettings
) -> tuple[list[CropDone], dict[str, dict[str, int]]]:
    """Detect and crop the shards that are not known to be up to date.

    Returns:
        What was done of each part, and the faces of the lake by method and outcome.
    """
    done: dict[str, CropDone] = {}
    with lake.listing_once():
        shards = checked_shards(lake, source, methods, detector, crops)
        parts = crop_parts(image_stems(lake, source), set(shards.unchecked()))
        if parts:
            job = CropJob(source, LinesByKey(lines_to_crop(lake, source)), methods, detector, crops)
            pictures = total(accepted(link_counts(lake, source).now()))
    if parts:
        done = _crop_parts(lake, job, parts, pictures)
    # Once no other run crops any more: what those have made is listed too.
    with lake.listing_once():
        if parts:
            _keep_checked(lake, job, shards, parts, done)
        gather_faces(lake, source, methods)
        return list(done.values()), {one: _count_faces(lake, source, one) for one in methods}


def _keep_checked(
    lake: Lake, job: CropJob, before: CheckedShards, parts: dict[str, list[str]], done: dict[str, CropDone]
) -> None:
    """Keep which shards of the parts that were done are up to date."""
    after = checked_shards(lake, job.source, job.methods, job.detector, job.crops)
    if after.state == before.state:
        # Shards that are as before were compared in this run, and those that it made are compared with what the disk
        # holds now. Those that other runs made these know.
        same = {stem for part in done for stem in parts[part] if after.now.get(stem) == before.now[stem]}
        made = {stem for one in done.values() for stem in one.made if _is_up_to_date(lake, job, stem)}
        after.keep(lake, same | made)


def _is_up_to_date(lake: Lake, job: CropJob, stem: str) -> bool:
    is_found = is_detected(lake, job.source, stem, job.detector)
    return is_found and not uncropped(lake, job.source, stem, job.lines, job.methods, settings=job.crops)


def _crop_parts(lake: Lake, job: CropJob, parts: dict[str, list[str]], num_pictures: int) -> dict[str, CropDone]:
    """Detect and crop parts, each with these shards; returns what was done of those that this run kept its lease of."""
    machine, given = load_settings(), []
    with (
        _processes(machine.num_workers()) as pool,
        track("detect and crop", num_pictures) as progress,
        TableMerger(partial(merge_faces, lake, job.source, job.methods), progress) as merger,
        ThreadPoolExecutor(_AT_ONCE) as threads,
        Leases(lake, "crop", job.source, parts, good_for_s=machine.lease_s, at_once=_AT_ONCE) as leases,
    ):
        for lease in leases:
            part, stems = lease.unit, parts[lease.unit]
            # In the context of this flow run, so that Prefect shows the task in it.
            run = partial(copy_context().run, crop_task, lake, job, part, stems, lease, pool, progress.advance)
            future = threads.submit(run)
            future.add_done_callback(partial(_end, lease, merger))
            given.append((lease, part, future))
        return {part: future.result() for lease, part, future in given if not lease.is_lost}


def _end(lease: Lease, merger: TableMerger, future: Future[CropDone]) -> None:
    lease.end()
    if not future.exception():
        merger.wrote(len(future.result().made))


def _report(lake: Lake, source: str) -> str:
    """Write the report, show its counts in Prefect's UI, and return its path."""
    from flows.reports.crop_report import cropped_methods, write_report  # noqa: PLC0415 - templates, 0.1 CPU-s

    path, faces = str(write_report(lake, source)), cropped_methods(lake, source)
    rows = [
        {"first": one, "second": two, **count_agreement(compare(faces, one, two))}
        for one, two in combinations(faces, 2)
    ]
    artifacts.table(
        "crop-agreement", rows or [{"methods": ", ".join(faces)}], f"Agreement of crop methods; more in {path}"
    )
    return path


@contextmanager
def _processes(num: int) -> Iterator[Executor | None]:
    """A pool of `num` processes, or None to work in this process. Forking next to torch's threads can hang."""
    if num <= 1:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num, mp_context=spawn, initializer=_end_with_parent) as pool:
        yield pool


def _end_with_parent() -> None:
    """End this process when its parent ends. After a SIGKILL of the parent it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _count_faces(lake: Lake, source: str, method: str) -> dict[str, int]:
    counts = face_counts(lake, source, method).now()
    num_accepted = {Outcome.ACCEPTED.value: total(accepted(counts))}
    return {word: num for word, num in (num_accepted | totals(counts, "reason")).items() if num}


def _some_faces(lake: Lake, source: str, method: str) -> str:
    """A contact sheet of evenly spaced crops."""
    faces = read_faces(lake, source, method).select(["shard", "offset", "length"]).drop_null()
    chosen = faces.take(np.linspace(0, len(faces) - 1, min(len(faces), 24)).astype(int)).to_pylist()
    return artifacts.member_sheet(lake, [(row["shard"], row["offset"], row["length"]) for row in chosen])
