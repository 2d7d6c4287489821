"""Tars of WebDataset's form and Parquet files with pictures, for tests."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_tar(path: Path, members: list[tuple[str, bytes]], extra: list[tarfile.TarInfo] | None = None) -> Path:
    """A tar of members in this order, and headers without bytes after them."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra or []:
            tar.addfile(info)
    return path


def sample(key: str, picture: bytes | None = b"picture", ending: str = "jpg", **fields: Any) -> list[tuple[str, bytes]]:
    """The members of one picture as img2dataset writes them."""
    members = [] if picture is None else [(f"{key}.{ending}", picture)]
    return [*members, (f"{key}.json", json.dumps({"key": key, "status": "success", **fields}).encode())]


def write_parquet(path: Path, images: list[Any], kind: pa.DataType = IMAGE, size: int = 2, **columns: Any) -> Path:
    """A Parquet file with a column `image`, in row groups of `size` rows."""
    table = pa.table({"image": pa.array(images, kind), **columns})
    pq.write_table(table, path, row_group_size=size)
    return path
