"""Which versions list samples of a shared shard."""

from __future__ import annotations

from collections import defaultdict

import pyarrow.compute as pc

from storage.datasets import DatasetVersion, versions
from storage.lake import Lake
from storage.sample_shards import stem_of


def shard_users(lake: Lake, dataset: str) -> dict[str, frozenset[str]]:
    """The versions, `name@version`, that list samples of each shard of a dataset, by the shard's stem.

    A version that a killed prune has marked counts as long as its index is there. Shards that no version lists are not
    in the answer.

    Raises:
        LakeError: an index cannot be read, so that nobody knows what its version lists.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for version in versions(lake, dataset, pruned=True):
        for stem in listed_stems(version):
            found[stem].add(str(version))
    return {stem: frozenset(users) for stem, users in found.items()}


def listed_stems(version: DatasetVersion) -> list[str]:
    """The stems of the shared shards that a version lists; none if its index has gone."""
    path = f"{version.folder}/index.parquet"
    if not version.shares_shards or not version.lake.exists(path):
        return []
    return [stem_of(shard) for shard in pc.unique(version.placed(["shard"])["shard"]).to_pylist()]
