"""What a prune decides on: versions, and the tables and files that may go with them or by their age. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """The kind of a thing that may go: the folder of the lake it lies in."""

    DATASETS = "datasets"
    SHARED = "shared"
    MODELS = "models"
    REPORTS = "reports"
    UNIQUE = "unique"
    CLEANED = "cleaned"
    WORK = "work"
    QUARANTINE = "quarantine"
    LEASES = "leases"


@dataclass(frozen=True, slots=True)
class Version:
    """A complete dataset or model version.

    Attributes:
        kind: `DATASETS` or `MODELS`.
        at: when it was published or trained; None if that is unknown.
        num_bytes: of all that goes with it; the manifest stays.
        bearing: why it must stay by its names, such as "it has the tag golden".
        dataset: of a model, the version it was trained on.
        scored_by: of a dataset version, the model whose label noise scores were applied.
        writer: the lease of the run that would write it again: stage, of, unit; None if that is unknown.
        is_marked_whole: it is marked as pruned, and no file of it has gone yet.
        even_lineage: it is marked as pruned in spite of the models that were trained on it.
    """

    kind: Kind
    name: str
    version: str
    at: datetime | None
    num_bytes: int
    bearing: str = ""
    dataset: str | None = None
    scored_by: str | None = None
    writer: tuple[str, str, str] | None = None
    is_marked_whole: bool = False
    even_lineage: bool = False

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> str:
        """Its folder in the lake."""
        return f"{self.kind}/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder that is no version and can be made again, or is not read again.

    Attributes:
        paths: what to remove, in this order.
        group: those among which the newest are counted.
        at: when it was written.
        of: the version it belongs to, `datasets/name@version` or `models/name@version`.
        source: the source of its links; runs on it keep it.
        newest_stays: the newest of its group always stays.
    """

    kind: Kind
    paths: tuple[str, ...]
    group: str
    at: datetime | None
    num_bytes: int
    of: str | None = None
    source: str | None = None
    newest_stays: bool = False

    def __str__(self) -> str:
        return self.paths[-1]


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A shard or a table of lines that versions of a dataset share.

    Attributes:
        paths: its files, in the order in which they go.
        users: the versions that use it.
    """

    dataset: str
    paths: tuple[str, ...]
    num_bytes: int
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that a decision needs to know of a lake.

    Attributes:
        versions: complete ones, those of a name oldest first.
        unfinished: pruned versions of which a killed prune has left files.
        shared: what versions of a dataset share.
        items: everything else that may go.
        gone_leases: lease files of ended runs.
        held: versions that runs read, `datasets/name@version` or `models/name@version`.
        working: (stage, of, unit) of every running run.
    """

    versions: tuple[Version, ...] = ()
    unfinished: tuple[Version, ...] = ()
    shared: tuple[SharedFile, ...] = ()
    items: tuple[Item, ...] = ()
    gone_leases: tuple[str, ...] = ()
    held: frozenset[str] = frozenset()
    working: frozenset[tuple[str, str, str]] = frozenset()
