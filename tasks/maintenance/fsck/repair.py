"""Repair a lake: damaged files are quarantined, then fetched or computed again.

Only data under takedown, temporary files of killed writers and files of pruned versions are deleted.

    quarantine/<when>/note.json     findings and remedies; written first
    quarantine/<when>/<path>        quarantined files, under their path in the lake

A repair that was killed can be run again; a new inspection finds the remaining work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import ATTEMPTS, Outcome, Reason, url_key
from storage.tables.parquet import read_as
from tasks.maintenance.fsck.findings import Finding, Kind, Remedy, advice, remedy
from tasks.maintenance.prune.finish import remains_of, remove_remains
from tasks.maintenance.takedown.purge import purge
from tasks.maintenance.takedown.rewrite import pieces, replace_shard

# The columns that a ledger row of a lost picture keeps: those needed to fetch it again.
_KEPT = ("key", "tries", "round", "fetched_at")


@dataclass
class Repaired:
    """The result of a repair.

    Attributes:
        folder: the folder in the quarantine.
        moved: paths that were moved there.
        lost: the number of lost pictures, now due for retry.
        removed: temporary files of killed writers, and files of pruned versions.
        aborted: multipart uploads that were aborted.
        purged: whether data under takedown was purged.
        left: what cannot be repaired, in words.
    """

    folder: str
    moved: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    lost: int = 0
    aborted: int = 0
    purged: bool = False
    left: list[str] = field(default_factory=list)


def repair(lake: Lake, findings: list[Finding], now: datetime) -> Repaired:
    """Apply the remedies.

    Args:
        now: the time from which lost pictures are due; also names the folder in the quarantine.
    """
    done = Repaired(lake.quarantine(now.strftime("%Y%m%dT%H%M%S%f")))
    by_remedy: dict[Remedy, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_remedy[remedy(finding)].append(finding)
    done.left = [f"{one.path}: {one.detail}" for kind in (Remedy.BACKUP, Remedy.CHOOSE) for one in by_remedy[kind]]
    lake.write_json(f"{done.folder}/note.json", _note(findings, now))
    for path in dict.fromkeys(finding.path for finding in by_remedy[Remedy.QUARANTINE] if not _is_whole(lake, finding)):
        _set_aside(lake, _files(lake, path), done)
    broken: dict[str, set[bytes]] = defaultdict(set)
    for finding in by_remedy[Remedy.REWRITE]:
        broken[finding.path] |= finding.keys
    for path, keys in broken.items():
        _rewrite(lake, path, keys, now, done)
    uploads = {finding.path for finding in by_remedy[Remedy.ABORT]}
    for lost in lake.lost_uploads() if uploads else []:
        if lost.path in uploads:
            lake.abort(lost)
            done.aborted += 1
    for finding in by_remedy[Remedy.REMOVE]:
        lake.remove_leftover(finding.path)
        done.removed.append(finding.path)
    for finding in by_remedy[Remedy.FINISH]:
        done.removed += remains_of(lake, finding.path)
        remove_remains(lake, finding.path)
    if by_remedy[Remedy.PURGE]:
        purge(lake)
        done.purged = True
    return done


def lost(index: pa.Table, keys: Iterable[bytes], now: datetime) -> pa.Table:
    """The rows of an index of images (`records.ATTEMPTS`), those of `keys` rejected as `lost` and due.

    Duplicate keys are kept once; a URL that does not match its key is blank.
    """
    wanted = frozenset(keys)
    rows = {row["key"]: row for row in index.to_pylist()}
    changed = [_lost(row, now) if key in wanted else row for key, row in rows.items()]
    return pa.Table.from_pylist(changed, schema=index.schema)


def _lost(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    url = row["url"] if url_key(row["url"]) == row["key"] else ""
    said = {"url": url, "outcome": Outcome.REJECTED.value, "reason": Reason.LOST.value, "next_try": now}
    return {name: row[name] for name in _KEPT} | said


def _rewrite(lake: Lake, path: str, keys: set[bytes], now: datetime, done: Repaired) -> None:
    """Replace a shard of images by one without the pictures of `keys`, and quarantine the old one."""
    _, source, stem = path.split("/")
    index = lost(read_as(lake, f"{path}.parquet", ATTEMPTS), keys, now)
    replace_shard(lake, source, stem, index)
    done.lost += len(keys)
    _set_aside(lake, pieces(lake, source, stem), done)


def _is_whole(lake: Lake, finding: Finding) -> bool:
    """Whether a tar that had no index has one by now: another run had just written it."""
    return finding.kind is Kind.NO_INDEX and lake.exists(f"{finding.path.removesuffix('.tar')}.parquet")


def _files(lake: Lake, path: str) -> list[str]:
    """The paths of a finding: a file, a folder, or the index and tar of a shard with all that was computed from it."""
    match path.split("/"):
        case ["images", source, stem] if not lake.exists(path):
            return pieces(lake, source, stem)
        case _:
            endings = ("", ".parquet", ".tar", ".json")
            return [f"{path}{ending}" for ending in endings if lake.exists(f"{path}{ending}")]


def _set_aside(lake: Lake, paths: list[str], done: Repaired) -> None:
    for path in paths:
        lake.move(path, f"{done.folder}/{path}")
        done.moved.append(path)


def _note(findings: list[Finding], now: datetime) -> dict[str, Any]:
    rows = [
        {"kind": one.kind, "path": one.path, "detail": one.detail, "remedy": remedy(one), "then": advice(one)}
        for one in findings
    ]
    return {"at": now.isoformat(timespec="seconds"), "findings": rows}
