"""Cost of a command with all its child processes: wall time, CPU time, memory. Linux only (reads /proc)."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

_EVERY_S = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Cost of one command.

    Attributes:
        cpu_s: user and system time of the process and its waited-for descendants, start-up included.
        rss_bytes: the largest sum of resident memory over the process tree, sampled ten times per second.
        pss_bytes: the same, with shared pages counted once.
    """

    wall_s: float
    cpu_s: float
    rss_bytes: int
    pss_bytes: int


def measured(
    command: Sequence[str],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    answer: Path | None = None,
) -> Usage:
    """Run a command to its end, with its output in `log`.

    Args:
        answer: another file for its standard output.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    started = time.monotonic()
    with log.open("wb") as said, answer.open("wb") if answer else nullcontext(said) as out:
        # No `with`: it would wait for the process, but os.wait4 below must, to get the usage of this process only.
        process = subprocess.Popen(command, stdout=out, stderr=said, env=env, cwd=cwd)
    peak = _Peak(process.pid)
    peak.start()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    peak.ended.set()
    peak.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        failed = subprocess.CalledProcessError(process.returncode, command, log.read_bytes()[-2000:])
        failed.add_note(failed.output.decode(errors="replace"))
        raise failed
    return Usage(wall_s, used.ru_utime + used.ru_stime, peak.rss_bytes, peak.pss_bytes)


class _Peak(threading.Thread):
    """Samples the memory of a process tree."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.ended = threading.Event()
        self.rss_bytes = self.pss_bytes = 0

    def run(self) -> None:
        while not self.ended.wait(_EVERY_S):
            pids = process_tree(self._pid)
            self.rss_bytes = max(self.rss_bytes, sum(map(rss_bytes, pids)))
            self.pss_bytes = max(self.pss_bytes, sum(map(_pss_bytes, pids)))


def process_tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has just ended
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
