"""Redact a dataset version: remove samples under takedown, record it in the manifest, and keep everything else.

Withdrawing the whole version at each takedown would break every comparison with it for a few faces. So its id is
kept, and `redactions` in its manifest record time, number and ids of the removed samples: the id is then a digest of
more than the remaining samples. The manifest is written first, as the intent, and the index last, as the commit:
after a kill in between, the next call completes the redaction.

Shards that versions share are replaced by `replace_shards`. In a version of layout 1

    <split>-<n>-r<redaction>.tar     replaces a shard with such samples
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError
from storage.records import bytes_digest
from storage.tables.parquet import write_table
from storage.tables.shards import create_shard
from storage.text.names import DATASET_MEMBER
from storage.versions.datasets import DatasetVersion
from storage.versions.takedowns import covered_samples, read_forgotten
from tasks.dataset.manifest import sample_counts
from tasks.maintenance.fsck.check_tar import NOT_A_TAR
from tasks.maintenance.takedown.replace_shards import Moved, moved_index


def redact(version: DatasetVersion, moved: Moved) -> int:
    """Remove the samples under takedown from a version; returns their number.

    Args:
        moved: the shared shards that are being replaced, of which the version may name some.
    """
    index = version.whole_index()
    covered = covered_samples(index, partial(read_forgotten, version.lake))
    gone, left = index.filter(covered), index.filter(pc.invert(covered))
    if len(gone):
        names = frozenset(gone["sample"].to_pylist())
        _announce(version, names, left)
    if version.shares_files:
        if len(gone) or set(pc.unique(index["shard"]).to_pylist()).intersection(moved):
            placed = moved_index(version.placed().filter(pc.invert(covered)), moved)
            write_table(version.lake, f"{version.folder}/index.parquet", placed)
    elif len(gone):
        _write_index(version, names, gone, left)
    for shard in unnamed_shards(version):
        version.lake.remove(f"{version.folder}/{shard}")
    return len(gone)


def unnamed_shards(version: DatasetVersion) -> list[str]:
    """The tars in a version's folder that its index does not name: replaced, or left by an interrupted redaction."""
    named = set(pc.unique(version.whole_index(["shard"])["shard"]).to_pylist())
    return [name for name in version.lake.names(version.folder) if name.endswith(".tar") and name not in named]


def _announce(version: DatasetVersion, gone: frozenset[str], left: pa.Table) -> None:
    """Record the samples to be removed in the manifest, unless an interrupted call has done so."""
    path = f"{version.folder}/manifest.json"
    new = gone - redacted_samples(version)
    if not new:
        return
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "num_samples": len(new),
        "samples": sorted(new),
        "manifest_sha256": bytes_digest(version.lake.read(path)).hex(),
    }
    version.manifest |= {"redactions": [*version.redactions, entry], **sample_counts(left)}
    version.lake.write_json(path, version.manifest)


def redacted_samples(version: DatasetVersion) -> frozenset[str]:
    """The removed samples of a version, by its manifest."""
    return frozenset(sample for entry in version.redactions for sample in entry["samples"])


def _write_index(version: DatasetVersion, gone: frozenset[str], lost: pa.Table, left: pa.Table) -> None:
    """Rewrite the shards that lose samples, under new names, then the index."""
    rows = left.to_pylist()
    for shard in pc.unique(lost["shard"]).to_pylist():
        new = re.sub(r"(-r\d+)?\.tar$", f"-r{len(version.redactions)}.tar", shard)
        places = _copy_shard(version, shard, new, gone)
        for row in (row for row in rows if row["shard"] == shard):
            if f"{row['sample']}.jpg" not in places:
                raise LakeError(f"{version}: {shard} is incomplete: run `facemill check --repair` first")
            row["shard"], (row["offset"], row["length"]) = new, places[f"{row['sample']}.jpg"]
    write_table(version.lake, f"{version.folder}/index.parquet", pa.Table.from_pylist(rows, schema=left.schema))


def _copy_shard(version: DatasetVersion, shard: str, new: str, gone: frozenset[str]) -> dict[str, tuple[int, int]]:
    with create_shard(version.lake, f"{version.folder}/{new}") as tar:
        return {name: tar.add(name, data) for name, data in _members(version, shard) if name.split(".")[0] not in gone}


def _members(version: DatasetVersion, shard: str) -> Iterator[tuple[str, bytes]]:
    path = f"{version.folder}/{shard}"
    where = f"{version.lake.url}/{path}"
    try:
        with version.lake.open(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                DATASET_MEMBER.checked(member.name, "the name of a member", where)
                if (content := tar.extractfile(member) if member.isreg() and not member.issparse() else None) is None:
                    raise LakeError(f"{where} contains other than regular files: run `facemill check --repair`")
                yield member.name, content.read()
    except (*NOT_A_TAR, FileNotFoundError) as error:
        raise LakeError(f"{where} cannot be read ({error}): run `facemill check --repair` first") from error
