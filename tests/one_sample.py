"""Samples of dataset versions: one of which only the place in its shard matters, and shards of made crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import SAMPLES
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import create_shard
from storage.versions.write_shards import write_shards

SAMPLE = "0123456789abcdef"


def sample_row(name: str = "") -> dict[str, Any]:
    """A row of `records.SAMPLES`; the sample's name is made from a letter, if one is given."""
    row: dict[str, Any] = dict.fromkeys(SAMPLES.names, "x") | {"sample": SAMPLE, "split": "train"}
    row |= dict.fromkeys(("line", "width", "height", "face_px"), 1)
    row |= dict.fromkeys(("image_digest", "cluster", "crop_digest"), bytes(32)) | {"face_box_xyxy": (0, 0, 1, 1)}
    row |= dict.fromkeys(("landmarks", "score", "agreement", "border", "sharpness", "yaw_deg", "roll_deg"))
    row |= dict.fromkeys(("listed_identity", "kept")) | {"shard": "train-00000.tar", "offset": 0, "length": 0}
    return row | ({"sample": f"{ord(name):016x}"} if name else {})


def written_shard(lake: Lake, dataset: str, samples: pa.Table, crops: Sequence[bytes]) -> pa.Table:
    """The rows of a shard of these samples (`records.SAMPLES`), written with these crops."""
    with create_shard(lake, "work/crops.tar") as tar:
        places = [tar.add("crop.jpg", crop) for crop in crops]
    origin = {"from_shard": ["work/crops.tar"] * len(crops)}
    origin |= dict(zip(("from_offset", "from_length"), map(list, zip(*places, strict=True)), strict=True))
    for name, column in origin.items():
        samples = samples.append_column(name, pa.array(column))
    (rows,) = write_shards(lake, dataset, [samples])
    return rows


def write_one_sample(lake: Lake, folder: str, member: str, data: bytes) -> None:
    """Write a shard with one member, and the index of a version of layout 1 with it."""
    with create_shard(lake, f"{folder}/train-00000.tar") as shard:
        offset, length = shard.add(member, data)
    row = sample_row() | {"offset": offset, "length": length}
    write_table(lake, f"{folder}/index.parquet", rows_to_table([row], SAMPLES))
