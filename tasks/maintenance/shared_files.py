"""Which versions of a dataset use a file that its versions share: a shard of samples, or a table of link lines."""

from __future__ import annotations

from collections import defaultdict

import pyarrow.compute as pc

from storage.errors import if_there
from storage.files.lake import Lake
from storage.records import PLACED_SAMPLES
from storage.tables.parquet import read_as
from storage.versions.datasets import DatasetVersion, versions
from storage.versions.sample_shards import stem_of


def users_of_shared(lake: Lake, dataset: str) -> dict[str, frozenset[str]]:
    """The versions, `name@version`, that use each shared file of a dataset, by its path without ending.

    A version that a killed prune has marked counts as long as its index is there. Files that no version uses are not
    in the answer.

    Raises:
        LakeError: an index cannot be read, so that nobody knows what its version uses.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for version in versions(lake, dataset, pruned=True):
        for path in used_by(version):
            found[path].add(str(version))
    return {path: frozenset(users) for path, users in found.items()}


def used_by(version: DatasetVersion) -> list[str]:
    """The shared files that a version uses, without endings; none if its index has gone."""
    lake, name = version.lake, version.name
    if not version.shares_files:
        return []
    stems = if_there(lambda: stems_of(version))
    if stems is None:
        return []
    lines = [lake.shared_lines(name, digest)] if (digest := version.lines_digest) else []
    return [*(lake.shards(name, stem) for stem in stems), *lines]


def stems_of(version: DatasetVersion) -> list[str]:
    """The stems of the shards of which a version that shares files lists samples; also of a pruned one."""
    placed = read_as(version.lake, f"{version.folder}/index.parquet", PLACED_SAMPLES, ["shard"])
    return [stem_of(shard) for shard in pc.unique(placed["shard"]).to_pylist()]
