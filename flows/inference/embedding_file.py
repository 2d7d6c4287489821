"""Write the embeddings of photos: a NumPy array, or a Parquet table with the face found in each photo."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import UsageError
from storage.files.atomic import whole_file

Row = dict[str, Any]
# (rows as printed by the command, embedding dimension) -> writes the file
Saver = Callable[[list[Row], int], None]


def saver(path: Path) -> Saver:
    """The writer for the suffix of `path`. Writing is atomic.

    Raises:
        UsageError: the suffix is unknown, or the folder does not exist.
    """
    writers = {".npy": _write_array, ".parquet": _write_table}
    if path.suffix not in writers:
        raise UsageError(f"--out {path} ends in {path.suffix or 'nothing'}; it must end in {' or '.join(writers)}")
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: the folder {path.parent} does not exist")
    return partial(_save, path, writers[path.suffix])


def _save(path: Path, write: Callable[[Path, list[Row], int], None], rows: list[Row], embedding_dim: int) -> None:
    with whole_file(path) as temporary:
        write(temporary, rows, embedding_dim)


def _write_array(path: Path, rows: list[Row], embedding_dim: int) -> None:
    """float32 [photos, d]; a row of NaN for a photo without a face, so that rows and photos correspond."""
    missing = [np.nan] * embedding_dim
    np.save(path, np.array([row["embedding"] or missing for row in rows], np.float32).reshape(-1, embedding_dim))


def _write_table(path: Path, rows: list[Row], embedding_dim: int) -> None:
    schema = pa.schema(
        {
            "photo": pa.string(),
            "reason": pa.string(),
            "box_xyxy": pa.list_(pa.float32(), 4),
            "score": pa.float32(),
            "num_faces": pa.int32(),
            "embedding": pa.list_(pa.float32(), embedding_dim),
        }
    )
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema), path)
