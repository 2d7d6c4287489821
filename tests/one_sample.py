"""A sample of a dataset version, of which only the place in its shard matters."""

from __future__ import annotations

from typing import Any

from storage.lake import Lake
from storage.records import SAMPLES
from storage.shards import create_shard
from storage.tables import rows_to_table, write_table

SAMPLE = "0123456789abcdef"


def write_one_sample(lake: Lake, folder: str, member: str, data: bytes) -> None:
    """Write a shard with one member, and the index of a version with it."""
    with create_shard(lake, f"{folder}/train-00000.tar") as shard:
        offset, length = shard.add(member, data)
    row: dict[str, Any] = dict.fromkeys(SAMPLES.names, "x") | {"sample": SAMPLE, "split": "train"}
    row |= dict.fromkeys(("line", "width", "height", "face_px"), 1)
    row |= dict.fromkeys(("image_digest", "cluster", "crop_digest"), bytes(32)) | {"face_box_xyxy": (0, 0, 1, 1)}
    row |= dict.fromkeys(("landmarks", "score", "agreement", "border", "sharpness", "yaw_deg", "roll_deg"))
    row |= dict.fromkeys(("listed_identity", "kept"))
    row |= {"shard": "train-00000.tar", "offset": offset, "length": length}
    write_table(lake, f"{folder}/index.parquet", rows_to_table([row], SAMPLES))
