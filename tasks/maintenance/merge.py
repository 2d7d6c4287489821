"""Merge the small tables of a lake (`storage.merged_tables`): the indexes of images, the detections and the faces."""

from __future__ import annotations

import pyarrow as pa

from storage.lake import Lake
from storage.merged_tables import merge_tables
from storage.records import ATTEMPTS, DETECTIONS, FACES


def merge_images(lake: Lake, source: str) -> int:
    """Merge the indexes of a source's images if many are not merged; returns the number of tables written."""
    return merge_tables(lake, lake.images(source), ATTEMPTS)


def merge_faces(lake: Lake, source: str) -> int:
    """Merge the detections and the faces of a source likewise."""
    tables = [lake.detections(source)] + [lake.faces(method, source) for method in lake.names("faces")]
    return sum(merge_tables(lake, folder, _SCHEMAS[folder.split("/")[0]]) for folder in tables)


def merge_all(lake: Lake) -> dict[str, int]:
    """Merge all small tables that are not merged, however few; returns the number of tables written by folder."""
    kinds = ["images", "detections", *(f"faces/{method}" for method in lake.names("faces"))]
    folders = [f"{kind}/{source}" for kind in kinds for source in lake.names(kind)]
    written = {one: merge_tables(lake, one, _SCHEMAS[one.split("/")[0]], at_least=2) for one in folders}
    return {folder: num for folder, num in written.items() if num}


_SCHEMAS: dict[str, pa.Schema] = {"images": ATTEMPTS, "detections": DETECTIONS, "faces": FACES}
