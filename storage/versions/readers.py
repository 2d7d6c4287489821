"""Leases of readers: while a run reads a dataset or model version, `facemill prune` leaves it alone.

    leases/read/<datasets or models>/<name>@<version>-<reader>.<generation>.json

Each reader has a lease of its own. It is written before the version is looked at once more, and prune looks for leases
after it has marked a version: whoever comes second sees the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from storage.files.lake import Lake
from storage.leases.leases import Held, Leases
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion

READ = "read"


@contextmanager
def reading(
    lake: Lake,
    *,
    datasets: Iterable[DatasetVersion] = (),
    models: Iterable[ModelVersion] = (),
    good_for_s: float,
) -> Iterator[None]:
    """Hold versions for the block.

    Args:
        lake: where they are.
        good_for_s: as for `leases.Leases`.

    Raises:
        VersionPruned: one has been pruned.
    """
    wanted: dict[str, list[DatasetVersion | ModelVersion]] = {"datasets": [*datasets], "models": [*models]}
    with ExitStack() as stack:
        for kind, versions in wanted.items():
            if not versions:
                continue
            units = [f"{version}-{uuid.uuid4().hex[:8]}" for version in versions]
            leases = Leases(lake, READ, kind, units, good_for_s=good_for_s, at_once=len(units))
            stack.enter_context(leases)
            for version in versions:
                leases.next()
                version.check_not_pruned()
        yield


def read_version(lease: Held) -> str | None:
    """The version that a lease holds, `datasets/name@version` or `models/name@version`; None for leases of units."""
    return f"{lease.of}/{lease.unit.rpartition('-')[0]}" if lease.stage == READ else None


def reader_leases(lake: Lake, kind: str, version: str) -> list[str]:
    """The paths of all leases of readers of a version.

    Args:
        kind: `datasets` or `models`.
        version: `name@version`.
    """
    folder = lake.leases(READ, kind)
    return [f"{folder}/{name}" for name in lake.names(folder) if name.rpartition("-")[0] == version]
