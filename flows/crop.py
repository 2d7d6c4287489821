"""Crop: find the faces in every accepted picture, once, and cut them out by each method."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from flows import artifacts
from flows.ingest import SourceName
from flows.progress import track
from flows.settings import load_settings
from storage.lake import Lake
from storage.records import Outcome
from tasks.catalog import planned_lines, read_faces
from tasks.crops import CropSettings
from tasks.ledger import accepted, image_stems, read_ledger
from tasks.prefect_tasks import crop_task
from tasks.sources import source_named

Method = Literal["bbox", "mtcnn", "both"]


def methods_of(method: Method, source: str) -> list[str]:
    """The crop methods asked for, of those that make sense for the source: without listed boxes only mtcnn does."""
    asked: list[str] = ["bbox", "mtcnn"] if method == "both" else [method]
    return asked if source_named(source).has_boxes else [one for one in asked if one != "bbox"] or ["mtcnn"]


# Two units at a time keep the processes busy while one of them writes its shard.
@flow(
    name="crop",
    flow_run_name="crop {source} {method}",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]
)
def crop(lake: str, source: SourceName = "vggface1", method: Method = "both") -> dict[str, Any]:
    """Detect and crop whatever is not up to date.

    Returns:
        Counts of this run: pictures detected, faces cropped; and of the lake: faces by method.
    """
    store, settings = Lake(lake), load_settings()
    methods = methods_of(method, source)
    lines = planned_lines(store, source)
    units = defaultdict(list)
    for stem in image_stems(store, source):
        units[int(stem.split("-")[0])].append(stem)
    pictures = len(accepted(read_ledger(store, source, ["key", "outcome"])))
    with _processes(settings.num_workers()) as pool, track("detect and crop", pictures) as progress:
        futures = [
            crop_task.submit(
                store,
                source,
                unit,
                stems,
                lines,
                methods,
                settings.detector(),
                CropSettings(),
                pool,
                progress.advance,
            )
            for unit, stems in units.items()
        ]
        done = [future.result() for future in futures]
    faces = {one: _count_faces(store, source, one) for one in methods}
    rows = [{"method": one, "outcome": word, "lines": num} for one in methods for word, num in faces[one].items()]
    artifacts.table(
        "crop-outcomes", rows or [{"method": "", "outcome": "no pictures yet", "lines": 0}], f"crop {source}"
    )
    artifacts.markdown("crop-faces", f"## crop {source}\n\n{_some_faces(store, source, methods[-1])}\n")
    get_run_logger().info("crop %s: %s", source, faces)
    return {
        "detected": sum(one["detected"] for one in done),
        "cropped": sum(one["cropped"] for one in done),
        "faces": {one: faces[one].get(Outcome.ACCEPTED.value, 0) for one in methods},
    }


@contextmanager
def _processes(num: int) -> Iterator[Executor | None]:
    """A pool of `num` processes; none for one, which works in this process. Forking beside torch's threads can hang."""
    if num <= 1:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num, mp_context=spawn, initializer=_end_with_parent) as pool:
        yield pool


def _end_with_parent() -> None:
    """Let this process end when its parent does: after a SIGKILL of the parent it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _count_faces(lake: Lake, source: str, method: str) -> dict[str, int]:
    faces = read_faces(lake, source, method)
    words = faces["reason"].cast(pa.string()).fill_null(Outcome.ACCEPTED.value)
    return {item["values"]: item["counts"] for item in words.value_counts().to_pylist()}


def _some_faces(lake: Lake, source: str, method: str) -> str:
    """A contact sheet of crops taken evenly from all of them."""
    faces = read_faces(lake, source, method).select(["stem", "offset", "length"]).drop_null()
    chosen = faces.take(np.linspace(0, len(faces) - 1, min(len(faces), 24)).astype(int)).to_pylist()
    members = [(f"{lake.faces(method, source, row['stem'])}.tar", row["offset"], row["length"]) for row in chosen]
    return artifacts.member_sheet(lake, members)
