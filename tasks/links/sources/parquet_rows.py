"""The rows of a list in Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import SourceError
from storage.records import Reason
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.list_bytes import MAX_WHOLE_BYTES, unpacked
from tasks.links.sources.list_columns import places_of
from tasks.links.sources.parquet_pictures import class_names, is_there, named, picture_column
from tasks.links.sources.rows import ROWS_PER_BLOCK, BadRow, Rows, shown_row


def parquet_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of a file of Parquet; with an image column, those that have a picture."""
    with unpacked(path) as stream, pq.ParquetFile(_seekable(stream, path)) as file:
        names = file.schema_arrow.names
        places = places_of(recipe, names, shown)
        columns = {names[at] for at in places.values()}
        where = None if recipe.image is None else picture_column(file.schema_arrow, recipe.image, shown)
        if where is not None:
            if where.column in columns:
                raise SourceError(
                    f"{shown}: column {where.column!r} contains the pictures: remove it from the other fields of the "
                    f"recipe"
                )
            # The leaf with the bytes is not read here: it is nearly all of the file.
            columns |= {where.sibling_leaf} if where.sibling_leaf else set()
        labels = class_names(file.schema_arrow) if where is not None else {}
        first = 1
        for every in file.iter_batches(ROWS_PER_BLOCK, columns=sorted(columns)):
            batch = every
            numbers = np.arange(first, first + len(batch), dtype=np.int64)
            first += len(batch)
            bad: list[BadRow] = []
            if where is not None and where.sibling_leaf:
                has_picture = is_there(batch.column(where.column), where)
                lost = numbers[pc.invert(has_picture).to_numpy(zero_copy_only=False)].tolist()
                bad = [
                    (number, "", Reason.MALFORMED_LINE, f"{recipe.image} is null: the row has no picture")
                    for number in lost
                ]
                batch, numbers = batch.filter(has_picture), np.setdiff1d(numbers, lost)
            cells = {one: batch.column(names[at]) for one, at in places.items()}
            cells |= {one: named(cells[one], labels[names[at]]) for one, at in places.items() if names[at] in labels}
            pictures = None if where is None else pa.array(numbers).cast(pa.string())
            yield Rows(numbers, cells, partial(_shown_batch_row, batch), bad, pictures)


def _shown_batch_row(batch: pa.RecordBatch, at: int) -> str:
    return shown_row(batch.slice(at, 1).to_pylist()[0])


def _seekable(stream: BinaryIO, path: Path) -> Any:
    """A seekable file; a compressed one is decompressed in memory, since Parquet is read from its end."""
    return str(path) if isinstance(stream, io.BufferedReader) else pa.BufferReader(stream.read(MAX_WHOLE_BYTES))
