"""Shards of images are not modified but replaced by one of another stem, complete before the old one is removed.

A kill leaves the old shard, or both, or parts of the old one. The new name is derived from the old one, so the next run
recognises the state and completes it.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import DETECTIONS, Outcome
from storage.tables.parquet import read_as, read_settings, read_stamp, write_table
from storage.tables.shards import create_shard, read_members
from tasks.fetch.ledger import accepted, image_stems


def successor(stem: str) -> str:
    """The stem of the shard that replaces this one."""
    place = "-".join(stem.split("-")[:2])
    return f"{place}-{hashlib.blake2b(stem.encode(), digest_size=3).hexdigest()}"


def replace_shard(lake: Lake, source: str, stem: str, index: pa.Table) -> str:
    """Write the shard that replaces `stem`, its index last; the old one is not changed.

    Args:
        index: `records.ATTEMPTS`; the pictures of accepted rows are copied from the old tar.

    Returns:
        The new stem.

    Raises:
        LakeError: the old tar is missing.
    """
    new = successor(stem)
    tar_path = f"{lake.images(source, stem)}.tar"
    rows = index.to_pylist()
    kept = sorted((row for row in rows if row["outcome"] == Outcome.ACCEPTED), key=lambda row: row["offset"])
    if kept and not lake.exists(tar_path):
        raise LakeError(f"{lake.url}/{tar_path} is missing: run `facemill check --repair` first")
    if kept:
        with create_shard(lake, f"{lake.images(source, new)}.tar") as tar:
            pictures = read_members(lake, tar_path, [(row["offset"], row["length"]) for row in kept])
            for row, data in zip(kept, pictures, strict=True):
                row["offset"], row["length"] = tar.add(f"{row['key'].hex()}.{row['format'].lower()}", data)
                row["shard"] = new
    table = pa.Table.from_pylist(rows, schema=index.schema)
    _copy_detections(lake, source, stem, accepted(table)["key"])
    write_table(lake, f"{lake.images(source, new)}.parquet", table)
    return new


def _copy_detections(lake: Lake, source: str, stem: str, keys: pa.ChunkedArray) -> None:
    """Copy the detections, which are expensive, of the remaining pictures; crops are cheap, and recomputed."""
    path = lake.detections(source, stem)
    if lake.exists(path):
        table = read_as(lake, path, DETECTIONS)
        kept = table.filter(pc.is_in(table["key"], value_set=keys.combine_chunks()))
        stamp, settings = read_stamp(lake, path) or "", read_settings(lake, path)
        write_table(lake, lake.detections(source, successor(stem)), kept, stamp=stamp, settings=settings)


def pieces(lake: Lake, source: str, stem: str) -> list[str]:
    """Every file of an image shard and of everything computed from it, each index before its tar."""
    stems = [lake.images(source, stem), *(lake.faces(method, source, stem) for method in lake.names("faces"))]
    paths = [f"{one}{ending}" for one in stems for ending in (".parquet", ".tar")]
    return [path for path in [*paths, lake.detections(source, stem)] if lake.exists(path)]


def shard_folders(lake: Lake, source: str) -> list[str]:
    """The folders of a source in which files are named by stems: images, detections, and faces by each method."""
    faces = [lake.faces(method, source) for method in lake.names("faces")]
    return [lake.images(source), lake.detections(source), *faces]


def tars_without_index(lake: Lake, source: str) -> list[str]:
    """The tars of a source without an index: incomplete or superseded."""
    found = {f"{folder}/{name}" for folder in shard_folders(lake, source) for name in lake.names(folder)}
    tars = sorted(path for path in found if path.endswith(".tar"))
    return [path for path in tars if f"{path.removesuffix('.tar')}.parquet" not in found]


def superseded(lake: Lake, source: str) -> list[str]:
    """The stems with a complete successor of which files are left."""
    found = {name.rsplit(".", 1)[0] for folder in shard_folders(lake, source) for name in lake.names(folder)}
    committed = set(image_stems(lake, source))
    return sorted(stem for stem in found if successor(stem) in committed)


def computed_alone(lake: Lake, source: str) -> list[str]:
    """The stems of detections and crops whose shard of images is not there, as after a repair that was killed."""
    found = {name.rsplit(".", 1)[0] for folder in shard_folders(lake, source) for name in lake.names(folder)}
    return sorted(found - set(image_stems(lake, source)))
