"""Write samples as shards of a dataset (`sample_shards`), their crops copied from the tars of faces or of other shards.

The samples of a shard are in the order of their digests, so its crops come from all over the lake: of thousands of tars
one or two from each. So some shards are written at a time. The place of each member follows from the lengths; then
each tar is read once, in its own order, and its crops go to their places.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from storage.files.lake import Lake
from storage.files.paths import SHARDS
from storage.files.read_ahead import read_ahead
from storage.records import SAMPLES
from storage.tables.parquet import write_table
from storage.tables.shards import ShardWriter, create_shard, read_members
from storage.versions.sample_shards import PLACE, content_of, shard_stem

# Where the crop of a sample lies now.
FROM_PLACE = tuple(f"from_{name}" for name in PLACE)
# Shards of so many bytes are written at a time, one at least. A lake in a bucket needs this room on the local disk.
_BYTES_AT_A_TIME = 2_000_000_000
# And of no more samples, whose rows and places take 0.7 GB of memory.
_SAMPLES_AT_A_TIME = 1_000_000
_FACTS = ("identity", "split", "source", "method", "line", "url", "face_box_xyxy", "landmarks", "score")
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class _Member(NamedTuple):
    """A crop: the tar and the place that it is read from, and where it goes."""

    tar: str
    offset: int
    length: int
    shard: ShardWriter
    to: int


def write_shards(
    lake: Lake, dataset: str, parts: Iterable[pa.Table], on_samples: Callable[[int], None] = lambda num: None
) -> Iterator[pa.Table]:
    """Write each part as a shard, its rows last.

    Args:
        parts: samples of one split: the columns `sample_shards.CONTENT`, and `FROM_PLACE`, the path in the lake of the
            tar that holds the crop, and its place there.
        on_samples: called with the number of crops that have been copied since the last call.

    Yields:
        The rows of each shard (`records.SAMPLES`).

    Raises:
        LakeError: a tar is missing, or has no such member.
    """
    for some in _at_a_time(parts):
        yield from _write_some(lake, dataset, some, on_samples)


def _at_a_time(parts: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    some: list[pa.Table] = []
    num_bytes = num_samples = 0
    for part in parts:
        size = int(np.sum(part["from_length"].to_numpy()))
        if some and (num_bytes + size > _BYTES_AT_A_TIME or num_samples + len(part) > _SAMPLES_AT_A_TIME):
            yield some
            some, num_bytes, num_samples = [], 0, 0
        some.append(part)
        num_bytes += size
        num_samples += len(part)
    if some:
        yield some


def _write_some(
    lake: Lake, dataset: str, parts: Sequence[pa.Table], on_samples: Callable[[int], None]
) -> Iterator[pa.Table]:
    contents = [content_of(part) for part in parts]
    stems = [shard_stem(content) for content in contents]
    offsets, members = [], []
    with ExitStack() as stack:
        for part, content, stem in zip(parts, contents, stems, strict=True):
            shard = stack.enter_context(create_shard(lake, f"{lake.shards(dataset, stem)}.tar"))
            lengths = part["from_length"].to_pylist()
            to = _reserve(shard, content, lengths)
            places = zip(part["from_shard"].cast(pa.string()).to_pylist(), part["from_offset"].to_pylist(), strict=True)
            members += [
                _Member(*place, length, shard, at) for place, length, at in zip(places, lengths, to, strict=True)
            ]
            offsets.append(to)
        _copy(lake, members, on_samples)
    for part, content, stem, to in zip(parts, contents, stems, offsets, strict=True):
        yield _write_rows(lake, dataset, stem, content, {"offset": to, "length": part["from_length"]})


def _reserve(shard: ShardWriter, content: pa.Table, lengths: Sequence[int]) -> list[int]:
    """Write all but the crops; returns their offsets."""
    offsets = []
    for sample, length, facts in zip(content["sample"].to_pylist(), lengths, _sample_facts(content), strict=True):
        offsets.append(shard.reserve(f"{sample}.jpg", length))
        shard.add(f"{sample}.json", facts)
    return offsets


def _copy(lake: Lake, members: list[_Member], on_samples: Callable[[int], None]) -> None:
    members.sort(key=lambda one: (one.tar, one.offset))
    by_tar = (list(found) for _, found in groupby(members, key=lambda one: one.tar))
    for some, crops in read_ahead(lake, partial(_with_crops, lake), by_tar):
        for one, crop in zip(some, crops, strict=True):
            one.shard.fill(one.to, crop)
        on_samples(len(some))


def _with_crops(lake: Lake, some: list[_Member]) -> tuple[list[_Member], Iterable[bytes]]:
    """Members of one tar, and their crops: of a bucket they are in memory then, some megabytes of each tar."""
    crops = read_members(lake, some[0].tar, [(one.offset, one.length) for one in some])
    return some, crops if lake.is_local else list(crops)


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
