"""What must not grow while a service runs: disk, memory, handles, processes, leases, rows in Prefect's database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from storage.files.lake import Lake
from storage.leases.lease_holders import holders
from storage.versions.datasets import all_versions
from storage.versions.models import model_versions
from tasks.maintenance.disk_usage import disk_usage
from tests.chaos.service import PARTS, Service, in_proc

_ROOTS_BEFORE = """
SELECT count(*) FROM flow_run WHERE parent_task_run_id IS NULL AND end_time < ?
AND state_type IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')
"""


def disk(lake: Lake) -> dict[str, int]:
    """The bytes of a lake by kind, and of all."""
    found = disk_usage(lake)
    return {**{kind: one["bytes"] for kind, one in found["kinds"].items()}, "all": found["bytes"]}


def versions(lake: Lake) -> dict[str, list[str]]:
    """The versions that are not pruned."""
    return {
        "datasets": sorted(str(one) for one in all_versions(lake)),
        "models": sorted(str(one) for one in model_versions(lake)),
    }


def leases(lake: Lake) -> dict[str, int]:
    """The leases of running and of ended runs; no process of another machine has any."""
    found = holders(lake, watches=False)
    return {"running": len(found.running), "gone": len(found.gone)}


def processes(service: Service) -> dict[str, dict[str, int]]:
    """By part of a service: its processes, open handles and memory in bytes."""
    parts: dict[str, list[int]] = {"serve": [service.process.pid]}
    for pid in service.processes():
        parts.setdefault(_part(pid), []).append(pid)
    return {part: _sums(pids) for part, pids in sorted(parts.items())}


def rows(database: Path) -> dict[str, int]:
    """The rows of each table of Prefect's database that has any."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {name: opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    return {name: num for name, num in sorted(counts.items()) if num}


def ended_before(database: Path, time: datetime) -> int:
    """The runs, without those that others started, that had ended by then."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as opened:
        text = time.replace(tzinfo=None).isoformat(" ")
        return int(opened.execute(_ROOTS_BEFORE, (text,)).fetchone()[0])


def _part(pid: int) -> str:
    command = in_proc(pid, "cmdline")
    for part, words in PARTS.items():
        for pool in ("cpu", "gpu"):
            if words.format(pool=pool).encode() in command:
                return f"worker {pool}" if part == "worker" else part
    return "other"


def _sums(pids: Iterable[int]) -> dict[str, int]:
    found = {"processes": 0, "handles": 0, "bytes": 0}
    for pid in pids:
        with suppress(OSError):
            found["handles"] += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            found["processes"] += 1
            found["bytes"] += int(in_proc(pid, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return found
