"""Verify the shards that versions of a dataset share. Each is read once, however many versions list it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.files.paths import SHARDS
from storage.text.names import SHARED_SHARD
from storage.versions.sample_shards import read_rows, shard_stem
from storage.versions.takedowns import Forgotten, covered_samples
from tasks.maintenance.fsck.check_tar import Member, read_tar, tar_findings
from tasks.maintenance.fsck.findings import Finding, Kind


class SharedShards:
    """The findings of the shards of one dataset. May be asked by several threads.

    Args:
        covered: returns the takedowns that apply to a source.
        quick: check tables and lengths only, not the bytes.
    """

    def __init__(self, lake: Lake, dataset: str, covered: Callable[[str], Forgotten], *, quick: bool) -> None:
        self._lake, self._dataset, self._covered, self._quick = lake, dataset, covered, quick
        self._found: dict[str, list[Finding]] = {}
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def findings(self, stem: str) -> list[Finding]:
        """The findings of a shard itself."""
        with self._locks[stem]:
            if stem not in self._found:
                self._found[stem] = self._check(stem)
            return self._found[stem]

    def of_version(self, folder: str, stems: list[str]) -> list[Finding]:
        """The findings of a version that lists samples of these shards: it is as damaged as they are."""
        return [
            Finding(one.kind, folder, f"{stem}: {one.detail}")
            for stem in stems
            for one in self.findings(stem)
            if one.kind is not Kind.TAKEN_DOWN
        ]

    def stems(self) -> list[str]:
        """Every shard in the folder, complete or not."""
        names = self._lake.names(self._lake.shards(self._dataset))
        return sorted({name.rpartition(".")[0] or name for name in names})

    def _check(self, stem: str) -> list[Finding]:
        path = self._lake.shards(self._dataset, stem)
        if not SHARED_SHARD.fits(stem):
            return [Finding(Kind.STRANGE_FILE, path, "nothing writes such a file")]
        if not self._lake.exists(f"{path}.parquet"):
            return [Finding(Kind.NO_INDEX, path, "the tar has no rows: writing or removing it was interrupted")]
        try:
            rows = read_rows(self._lake, self._dataset, f"{SHARDS}/{stem}.tar")
        except LakeError as error:
            return [Finding(Kind.UNREADABLE, path, str(error))]
        return [*self._tar(path, rows), *self._rows(path, stem, rows)]

    def _tar(self, path: str, rows: pa.Table) -> list[Finding]:
        columns = ["sample", "offset", "length", "crop_digest"]
        members = [
            Member(f"{row['sample']}.jpg", row["offset"], row["length"], row["crop_digest"])
            for row in rows.select(columns).to_pylist()
        ]
        facts = read_tar(self._lake, f"{path}.tar", members, quick=self._quick)
        beside = frozenset(f"{sample}.json" for sample in rows["sample"].to_pylist())
        return tar_findings(path, members, facts, beside=beside)

    def _rows(self, path: str, stem: str, rows: pa.Table) -> list[Finding]:
        found = []
        names, offsets = pc.unique(rows["shard"]).to_pylist(), rows["offset"].to_numpy()
        if names != [f"{SHARDS}/{stem}.tar"] or not (np.diff(offsets) > 0).all():
            found.append(Finding(Kind.UNTRUE_MANIFEST, path, "its rows are not those of its tar, in order"))
        elif not self._quick and shard_stem(rows) != stem:
            found.append(Finding(Kind.UNTRUE_MANIFEST, path, f"its rows make {shard_stem(rows)}"))
        if num := pc.sum(covered_samples(rows, self._covered)).as_py():
            found.append(Finding(Kind.TAKEN_DOWN, path, f"{num} samples are taken down but not purged"))
        return found
