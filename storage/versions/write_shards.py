"""Write samples as shards of a dataset (`sample_shards`), their crops copied from the tars of faces or of other shards.

The samples of a shard are in the order of their digests, so its crops come from all over the lake: of thousands of tars
one or two from each. So some shards are written at a time. The place of each member follows from the lengths; then
each tar is read once, in its own order, and its crops go to their places.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.files.paths import SHARDS
from storage.files.read_ahead import read_ahead
from storage.records import SAMPLES
from storage.tables.parquet import write_table
from storage.tables.shards import ShardWriter, create_shard, read_members
from storage.tables.take import joined_columns
from storage.versions.sample_shards import PLACE, content_of, shard_stem

_Ints = npt.NDArray[np.int64]
# Where the crop of a sample lies now.
FROM_PLACE = tuple(f"from_{name}" for name in PLACE)
# So many samples are written at a time, one shard at least: their rows and places take 0.5 GB of memory.
_SAMPLES_AT_A_TIME = 1_000_000
# And of a lake in a bucket shards of so many bytes, since it needs that room on the local disk.
_BYTES_AT_A_TIME = 2_000_000_000
_FACTS = ("identity", "split", "source", "method", "line", "url", "face_box_xyxy", "landmarks", "score")
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class _Crops(NamedTuple):
    """Crops by the place where each is read and the one where it is written, [n] each: numbers, for there are millions.

    Attributes:
        tar: the place in `tars` of the one that it is in; likewise `shard`.
    """

    tars: list[str]
    tar: _Ints
    offset: _Ints
    length: _Ints
    shards: list[ShardWriter]
    shard: _Ints
    to: _Ints


def write_shards(
    lake: Lake,
    dataset: str,
    parts: Iterable[pa.Table],
    on_samples: Callable[[int], None] = lambda num: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[pa.Table]:
    """Write each part as a shard, its rows last.

    Args:
        parts: samples of one split: the columns `sample_shards.CONTENT`, and `FROM_PLACE`, the path in the lake of the
            tar that holds the crop, and its place there.
        on_samples: called with the number of crops that have been copied since the last call.
        check: called once crops have been copied, and before the shards that hold them are there; raises if a tar may
            have been replaced since it was decided what to take of it.

    Yields:
        The rows of each shard (`records.SAMPLES`).

    Raises:
        LakeError: a tar is missing, or has no such member.
    """
    most_bytes = sys.maxsize if lake.is_local else _BYTES_AT_A_TIME
    for some in _at_a_time(parts, most_bytes):
        yield from _write_some(lake, dataset, some, on_samples, check)


def _at_a_time(parts: Iterable[pa.Table], most_bytes: int) -> Iterator[list[pa.Table]]:
    some: list[pa.Table] = []
    num_bytes = num_samples = 0
    for part in parts:
        size = int(np.sum(part["from_length"].to_numpy()))
        if some and (num_bytes + size > most_bytes or num_samples + len(part) > _SAMPLES_AT_A_TIME):
            yield some
            some, num_bytes, num_samples = [], 0, 0
        some.append(part)
        num_bytes += size
        num_samples += len(part)
    if some:
        yield some


def _write_some(
    lake: Lake,
    dataset: str,
    parts: Sequence[pa.Table],
    on_samples: Callable[[int], None],
    check: Callable[[], None],
) -> Iterator[pa.Table]:
    contents = [content_of(part) for part in parts]
    stems = [shard_stem(content) for content in contents]
    with ExitStack() as stack:
        shards = [stack.enter_context(create_shard(lake, f"{lake.shards(dataset, stem)}.tar")) for stem in stems]
        reserved = zip(shards, contents, parts, strict=True)
        offsets = [_reserve(shard, content, part["from_length"]) for shard, content, part in reserved]
        _copy(lake, _crops(parts, shards, offsets), on_samples)
        check()
    for part, content, stem, to in zip(parts, contents, stems, offsets, strict=True):
        yield _write_rows(lake, dataset, stem, content, {"offset": to, "length": part["from_length"]})


def _reserve(shard: ShardWriter, content: pa.Table, lengths: pa.ChunkedArray) -> _Ints:
    """Write all but the crops; returns their offsets."""
    offsets = np.empty(len(content), np.int64)
    members = zip(content["sample"].to_pylist(), lengths.to_pylist(), _sample_facts(content), strict=True)
    for at, (sample, length, facts) in enumerate(members):
        offsets[at] = shard.reserve(f"{sample}.jpg", length)
        shard.add(f"{sample}.json", facts)
    return offsets


def _crops(parts: Sequence[pa.Table], shards: list[ShardWriter], offsets: Sequence[_Ints]) -> _Crops:
    """The crops of these parts, in the order of the tars that they are read from."""
    tars = joined_columns([part["from_shard"] for part in parts]).cast(pa.string()).combine_chunks().dictionary_encode()
    tar = tars.indices.to_numpy().astype(np.int64)
    offset, length = (
        np.concatenate([part[name].to_numpy() for part in parts]) for name in ("from_offset", "from_length")
    )
    shard, to = np.repeat(np.arange(len(parts)), [len(part) for part in parts]), np.concatenate(offsets)
    order = np.lexsort((offset, pc.rank(tars.dictionary).to_numpy()[tar]))
    return _Crops(
        tars.dictionary.to_pylist(), tar[order], offset[order], length[order], shards, shard[order], to[order]
    )


def _copy(lake: Lake, crops: _Crops, on_samples: Callable[[int], None]) -> None:
    ends = [*(np.flatnonzero(np.diff(crops.tar)) + 1).tolist(), len(crops.tar)]
    by_tar = (slice(first, end) for first, end in pairwise([0, *ends]) if end > first)
    for some, found in read_ahead(lake, partial(_read_crops, lake, crops), by_tar):
        for shard, to, crop in zip(crops.shard[some].tolist(), crops.to[some].tolist(), found, strict=True):
            crops.shards[shard].fill(to, crop)
        on_samples(some.stop - some.start)


def _read_crops(lake: Lake, crops: _Crops, some: slice) -> tuple[slice, Iterable[bytes]]:
    """The crops of one tar: of a bucket they are in memory then, some megabytes of each tar."""
    places = list(zip(crops.offset[some].tolist(), crops.length[some].tolist(), strict=True))
    found = read_members(lake, crops.tars[crops.tar[some.start]], places)
    return some, found if lake.is_local else list(found)


def _write_rows(lake: Lake, dataset: str, stem: str, content: pa.Table, place: dict[str, Any]) -> pa.Table:
    rows = content.append_column("shard", pa.array([f"{SHARDS}/{stem}.tar"] * len(content)))
    for name, column in place.items():
        rows = rows.append_column(name, column if isinstance(column, pa.ChunkedArray) else pa.array(column))
    rows = rows.select(SAMPLES.names).cast(SAMPLES)
    write_table(lake, f"{lake.shards(dataset, stem)}.parquet", rows)
    return rows


def _sample_facts(content: pa.Table) -> Iterator[bytes]:
    """The JSON member next to each picture in a shard, for readers without Parquet."""
    columns = [_values(content[name]) for name in _FACTS]
    digests = content["image_digest"].to_pylist()
    for digest, *values in zip(digests, *columns, strict=True):
        facts = dict(zip(_FACTS, values, strict=True)) | {"image_sha256": digest.hex()}
        yield _ENCODER.encode(facts).encode()


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; `to_pylist` takes ten times as long for words and boxes."""
    whole = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        words = whole.dictionary.to_pylist()
        return [words[code] if code is not None else None for code in whole.indices.to_pylist()]
    if pa.types.is_fixed_size_list(column.type) and not whole.null_count:
        return list(whole.flatten().to_numpy().reshape(len(whole), -1).tolist())
    return list(whole.to_pylist())
