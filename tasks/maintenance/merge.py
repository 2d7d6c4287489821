"""Merge the small tables of a lake (`storage.tables.merged_tables`), and keep the counts of what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import ATTEMPTS, DETECTIONS, FACES
from storage.tables.merged_tables import merge_tables
from tasks.dataset.face_counts import face_counts
from tasks.fetch.link_counts import link_counts


def merge_images(lake: Lake, source: str) -> int:
    """Merge the indexes of a source's images if many are not merged; returns the number of merged tables written."""
    return merge_tables(lake, lake.images(source), ATTEMPTS)


def merge_faces(lake: Lake, source: str, methods: Sequence[str]) -> int:
    """Likewise of the detections, and of the faces by these methods."""
    folders = {lake.detections(source): DETECTIONS} | {lake.faces(one, source): FACES for one in methods}
    return sum(merge_tables(lake, folder, schema) for folder, schema in folders.items())


def gather_images(lake: Lake, source: str) -> None:
    """Merge the indexes of a source's images if many are not merged, and count the links, unless that is done."""
    with lake.listing_once():
        if link_counts(lake, source).kept() is None:
            merge_images(lake, source)
            link_counts(lake, source).keep()


def gather_faces(lake: Lake, source: str, methods: Sequence[str]) -> None:
    """Likewise of the detections, and of the faces by these methods."""
    with lake.listing_once():
        changed = [one for one in methods if face_counts(lake, source, one).kept() is None]
        if changed:
            merge_faces(lake, source, changed)
        for method in changed:
            face_counts(lake, source, method).keep()


def merge_all(lake: Lake) -> dict[str, int]:
    """Merge all small tables that are not merged, however few, and keep all counts.

    Returns:
        The number of merged tables written by folder.
    """
    kinds = ["images", "detections", *(f"faces/{method}" for method in lake.names("faces"))]
    folders = [f"{kind}/{source}" for kind in kinds for source in lake.names(kind)]
    written = {one: merge_tables(lake, one, _SCHEMAS[one.split("/")[0]], at_least=2) for one in folders}
    for source in lake.names("images"):
        gather_images(lake, source)
        gather_faces(lake, source, [one for one in lake.names("faces") if source in lake.names(f"faces/{one}")])
    return {folder: num for folder, num in written.items() if num}


_SCHEMAS: dict[str, pa.Schema] = {"images": ATTEMPTS, "detections": DETECTIONS, "faces": FACES}
