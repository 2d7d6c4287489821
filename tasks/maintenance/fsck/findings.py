"""The kinds of findings in a lake, and their remedies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from storage.files.paths import ALIASES


class Kind(StrEnum):
    """The kind of a finding. The closed list."""

    UNREADABLE = "unreadable"
    NO_INDEX = "no_index"
    NO_TAR = "no_tar"
    BROKEN_BYTES = "broken_bytes"
    BROKEN_TAR = "broken_tar"
    NO_SHARD = "no_shard"
    SUPERSEDED = "superseded"
    MISCOUNT = "miscount"
    UNTRUE_MANIFEST = "untrue_manifest"
    UNFINISHED = "unfinished"
    LEFTOVER = "leftover"
    STRANGE_FILE = "strange_file"
    PARTIAL_UPLOAD = "partial_upload"
    TAKEN_DOWN = "taken_down"
    DANGLING = "dangling"
    HALF_PRUNED = "half_pruned"
    # A note: nothing is wrong.
    PRUNED = "pruned"


class Remedy(StrEnum):
    """What a repair does."""

    # Moved to the quarantine; the stage that wrote it writes it again.
    QUARANTINE = "quarantine"
    # Rewritten without the broken pictures, which are fetched again.
    REWRITE = "rewrite"
    PURGE = "purge"
    # The store discards the incomplete upload, which never became a file.
    ABORT = "abort"
    # A temporary file, which never became a file of the lake.
    REMOVE = "remove"
    # The version is marked as pruned; the files that a killed prune has left go.
    FINISH = "removed"
    # It cannot be computed from the rest of the lake.
    BACKUP = "restore from a backup"
    # The referenced file is missing. The file with the reference is intact and is kept.
    CHOOSE = "restore the missing file, or choose another"
    NOTHING = "none needed"


_NOT_MISSED = frozenset(
    {
        Kind.SUPERSEDED,
        Kind.LEFTOVER,
        Kind.PARTIAL_UPLOAD,
        Kind.STRANGE_FILE,
        Kind.TAKEN_DOWN,
        Kind.HALF_PRUNED,
        Kind.PRUNED,
    }
)
_ADVICE = {
    "links": "ingest reads them again",
    "plan": "ingest makes it again",
    "images": "ingest and retry fetch them again",
    "unique": "publish makes it again",
    "detections": "crop makes it again",
    "faces": "crop makes it again",
    "cleaned": "clean makes it again",
    "evaluations": "models evaluate recomputes it",
    "datasets": "publish again",
    "models": "train again",
    "aliases": "models promote sets the alias again",
    "tags": "datasets tag sets the tag again",
    "experiments": "experiment makes it again",
}
# How to resolve a dangling reference if the missing file cannot be restored.
_CHOICES = {
    "aliases": "models promote makes another version the champion, train makes a candidate",
    "tags": "datasets tag gives the tag to another version, datasets untag removes it",
    "models": "train again on an existing dataset version, and remove this version",
    "evaluations": "remove the evaluation, or evaluate an existing version",
    "experiments": "remove the experiment's file",
    "cleaned": "remove that model's scores, or run clean with an existing model",
    "datasets": "publish again without that model's scores, or with another's",
}


# Kinds whose remedy does not depend on the place.
_REMEDIES = {
    Kind.TAKEN_DOWN: Remedy.PURGE,
    Kind.PARTIAL_UPLOAD: Remedy.ABORT,
    Kind.DANGLING: Remedy.CHOOSE,
    Kind.LEFTOVER: Remedy.REMOVE,
    Kind.HALF_PRUNED: Remedy.FINISH,
    Kind.PRUNED: Remedy.NOTHING,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect.

    Attributes:
        path: the path in the lake that a repair moves or rewrites: a file, the folder of a version, or the tar and
            index of a shard without their suffixes.
        keys: the broken pictures of a shard of images.
    """

    kind: Kind
    path: str
    detail: str
    keys: frozenset[bytes] = frozenset()

    @property
    def is_note(self) -> bool:
        """Whether nothing is wrong."""
        return self.kind is Kind.PRUNED


def remedy(finding: Finding) -> Remedy:
    """The remedy that a repair applies to a finding."""
    place = finding.path.split("/", 1)[0]
    if finding.kind in _REMEDIES:
        return _REMEDIES[finding.kind]
    if place == "takedowns":
        return Remedy.BACKUP
    is_picture_at_stake = finding.kind in {Kind.NO_TAR, Kind.BROKEN_BYTES, Kind.BROKEN_TAR, Kind.MISCOUNT}
    return Remedy.REWRITE if place == "images" and is_picture_at_stake else Remedy.QUARANTINE


def advice(finding: Finding) -> str:
    """How to recover quarantined data, or how to resolve a finding that a repair leaves; empty if nothing is lost."""
    place = finding.path.split("/", 1)[0]
    if f"/{ALIASES}" in finding.path:
        place = "tags" if place == "datasets" else ALIASES
    if finding.kind is Kind.DANGLING:
        return _CHOICES[place]
    return "" if finding.kind in _NOT_MISSED else _ADVICE.get(place, "")
