"""Pictures of a dataset version's rows: samples from the version, rejected lines from its lake."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports.current_crop import if_current
from storage.errors import LakeError
from storage.records import url_key
from storage.tables.parquet import with_plain_words
from storage.tables.shards import read_member
from storage.text.source_names import sources_of
from storage.versions.datasets import DatasetVersion
from tasks.dataset.select import Stage
from tasks.dataset.source_tables import read_faces
from tasks.fetch.ledger import accepted, read_ledger
from tasks.links.line_ids import find_rows, line_ids

_PLACE = ("shard", "offset", "length")


class Pictures:
    """Reads the crop or the picture of a row."""

    def __init__(self, dataset: DatasetVersion) -> None:
        self._dataset = dataset
        self._lake = dataset.lake
        self._sources = sources_of(dataset.source)

    def of_samples(self, rows: pa.Table) -> list[bytes]:
        """The crops of rows of the version's index."""
        return self._dataset.read_all([tuple(place.values()) for place in rows.select(_PLACE).to_pylist()])

    def of_stopped(self, rows: pa.Table, *, whole: bool | None = None) -> list[bytes]:
        """The crops of rows of the version's outcomes, or else the whole pictures; empty bytes if deleted since.

        Args:
            whole: True: the whole pictures; None: those of lines that stopped before their crop was looked at.
        """
        keys = pa.array([url_key(url).hex() for url in rows["url"].to_pylist()], pa.string())
        attempts = _rows(self._attempts, _find_few(_of_source(rows, keys), self._attempts["id"]))
        stages = rows["stage"].to_pylist()
        return [
            (not (stage == Stage.DEDUPE.value if whole is None else whole) and self._crop(face))
            or self._picture(attempt)
            for stage, face, attempt in zip(stages, self._faces_of(rows).to_pylist(), attempts, strict=True)
        ]

    def looks(self, rows: pa.Table) -> pa.Table:
        """What tells the pictures of rows of the version's outcomes apart, null where it is not known.

        Returns:
            `image_digest`, `dhash`, and `box`, the face's box relative to its picture.
        """
        faces = self._faces_of(rows)
        known = self._attempts.filter(pc.is_in(self._attempts["digest"], value_set=pc.unique(faces["image_digest"])))
        at = find_rows(faces["image_digest"], known["digest"])
        return pa.table(
            {
                "image_digest": faces["image_digest"],
                "dhash": known["dhash"].take(pa.array(at, mask=at < 0)),
                "box": _relative(faces),
            }
        )

    def _faces_of(self, rows: pa.Table) -> pa.Table:
        at = _find_few(line_ids(rows), self._face_ids)
        return self._faces.take(pa.array(at, mask=at < 0))

    @cached_property
    def _faces(self) -> pa.Table:
        method = str(self._dataset.manifest["method"])
        tables = {one: read_faces(self._lake, one, method) for one in self._sources}
        columns = ["identity", "line", "image_digest", "crop_digest", "source_box_xyxy", "image_width", "image_height"]
        columns += _PLACE
        return _stacked({one: table.select(columns) for one, table in tables.items()})

    @cached_property
    def _face_ids(self) -> pa.Array:
        return line_ids(self._faces)

    @cached_property
    def _attempts(self) -> pa.Table:
        columns = ["key", "outcome", "digest", "dhash", *_PLACE]
        attempts = _stacked({one: accepted(read_ledger(self._lake, one, columns)) for one in self._sources})
        keys = pa.array([key.hex() for key in attempts["key"].to_pylist()], pa.string())
        return attempts.append_column("id", _of_source(attempts, keys))

    def _crop(self, face: dict[str, Any]) -> bytes:
        return if_current(self._read(face["shard"], face), face)

    def _picture(self, attempt: dict[str, Any]) -> bytes:
        stem = attempt["shard"]
        return self._read(stem and f"{self._lake.images(attempt['source'], stem)}.tar", attempt)

    def _read(self, path: str | None, place: dict[str, Any]) -> bytes:
        if path is None or place["offset"] is None:
            return b""
        # The lake may have changed since the version was published.
        with suppress(OSError, LakeError):
            return read_member(self._lake, path, place["offset"], place["length"])
        return b""


def _stacked(tables: dict[str, pa.Table]) -> pa.Table:
    """The tables of several sources one after the other, with a column `source`."""
    named = [table.append_column("source", pa.array([one] * len(table), pa.string())) for one, table in tables.items()]
    return pa.concat_tables(map(with_plain_words, named))


def _of_source(rows: pa.Table, keys: pa.Array) -> pa.Array:
    """The key of each row's URL within its source."""
    sources = rows["source"].cast(pa.string()).combine_chunks()
    return pc.binary_join_element_wise(sources, keys, "/")


def _relative(faces: pa.Table) -> pa.Array:
    """The boxes of faces relative to the size of their pictures; NaN where there is none."""
    boxes = np.full((len(faces), 4), np.nan)
    known = faces["source_box_xyxy"].is_valid().to_numpy(zero_copy_only=False).astype(bool)
    boxes[known] = pc.list_flatten(faces["source_box_xyxy"].drop_null()).to_numpy().reshape(-1, 4)
    width, height = (pc.fill_null(faces[f"image_{side}"].cast(pa.float64()), np.nan) for side in ("width", "height"))
    return pa.FixedSizeListArray.from_arrays(pa.array((boxes / np.stack([width, height] * 2, axis=1)).ravel()), 4)


def _find_few(wanted: pa.ChunkedArray | pa.Array, among: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    """`find_rows` for few ids among many: no hash table of the many is made."""
    near = np.flatnonzero(pc.is_in(among, value_set=pc.unique(wanted)))
    if not len(near):
        return np.full(len(wanted), -1)
    at = find_rows(wanted, among.take(pa.array(near)))
    return np.where(at < 0, -1, near[at])


def _rows(table: pa.Table, at: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """The rows of a table by index; a row of nulls for -1."""
    rows: list[dict[str, Any]] = table.take(pa.array(at, mask=at < 0)).to_pylist()
    return rows


def evenly(num: int, most: int) -> list[int]:
    """At most `most` evenly spaced indices below `num`."""
    return [int(place) for place in np.unique(np.linspace(0, num - 1, min(num, most)).astype(int))]
