"""Parquet files with the pictures, as Hugging Face datasets reads them: an Image and a ClassLabel per row.

data/<split>-<n>-of-<num>.parquet
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion

# 280 MB at 28 KB a crop; readers fetch one group of rows for one picture, so groups are small.
_ROWS_PER_FILE, _ROWS_PER_GROUP = 10_000, 100
_FACTS = (
    "sample", "source", "method", "line", "url", "face_box_xyxy", "landmarks", "score", "agreement", "face_px",
    "sharpness", "yaw_deg", "roll_deg",
)  # fmt: skip
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_hf_parquet(dataset: DatasetVersion, rows: pa.Table, folder: Path, on_progress: Callable[[int], None]) -> None:
    """Write the samples `rows` of a version's index below `folder`; labels number the people of the whole version."""
    (folder / "data").mkdir()
    people = pa.array(sorted(set(with_plain_words(dataset.index(["identity"]))["identity"].to_pylist())))
    rows, done = with_plain_words(rows), 0
    schema = _schema(rows.schema, people.to_pylist())
    for name, part in _files(rows):
        with pq.ParquetWriter(folder / "data" / name, schema, compression="zstd") as file:
            for start in range(0, len(part), _ROWS_PER_GROUP):
                group = part.slice(start, _ROWS_PER_GROUP)
                columns = [_images(dataset, group), pc.index_in(group["identity"], value_set=people).cast(pa.int64())]
                table = pa.table([*columns, *group.select(_FACTS).columns], schema=schema)
                file.write_table(table, row_group_size=_ROWS_PER_GROUP)
                done += len(group)
                on_progress(done)


def _files(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    for split in pc.unique(rows["split"]).to_pylist():
        part = rows.filter(pc.equal(rows["split"], split))
        num_files = -(-len(part) // _ROWS_PER_FILE)
        for number in range(num_files):
            name = f"{split}-{number:05d}-of-{num_files:05d}.parquet"
            yield name, part.slice(number * _ROWS_PER_FILE, _ROWS_PER_FILE)


def _images(dataset: DatasetVersion, rows: pa.Table) -> pa.Array:
    crops = dataset.read_all([tuple(row.values()) for row in rows.select(["shard", "offset", "length"]).to_pylist()])
    names = rows["sample"].to_pylist()
    return pa.array([{"bytes": crop, "path": f"{name}.jpg"} for name, crop in zip(names, crops, strict=True)], _IMAGE)


def _schema(index: pa.Schema, people: list[str]) -> pa.Schema:
    """The columns, with their Hugging Face features in the metadata.

    Fields are nullable, and the elements of lists are named `item`: otherwise the features are ignored.
    """
    facts = [pa.field(name, index.field(name).type) for name in _FACTS]
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": people}}
    features |= {field.name: _feature(field.type) for field in facts}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([pa.field("image", _IMAGE), pa.field("label", pa.int64()), *facts], metadata=told)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"_type": "Sequence", "feature": _feature(kind.value_type), "length": kind.list_size}
    return {"_type": "Value", "dtype": {"float": "float32"}.get(str(kind), str(kind))}
