"""Note when a request to a host starts, by the clock and in the order that the sender's own limits go by.

    python -m tests.flows.runs.request_starts FILE ingest --lake ...     a command that notes its starts in FILE

Processes of one machine share that clock. The spacing of arrivals would depend on the machine; that of starts does not.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.web import host_queue, hosts


class NamedHost(hosts.Host):
    """A host that notes its starts: one short line, written whole, so that a kill loses none."""

    __slots__ = ("file", "name")
    file: int
    name: str

    def start(self, now: float) -> None:
        os.write(self.file, f"{json.dumps([self.name, now])}\n".encode())
        super().start(now)


def note_starts(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Let all hosts of this process note their starts."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    made = host_queue.HostQueues._queue

    def named(self: host_queue.HostQueues, name: str) -> host_queue._Queue:
        queue = made(self, name)
        assert isinstance(queue.host, NamedHost)
        queue.host.file, queue.host.name = file, name
        return queue

    patch.setattr(host_queue, "Host", NamedHost)
    patch.setattr(host_queue.HostQueues, "_queue", named)


def least_gap_s(path: Path) -> float:
    """The least time between the starts of two requests to one host."""
    starts = defaultdict(list)
    for line in path.read_text().splitlines():
        name, now = json.loads(line)
        starts[name].append(now)
    return min(later - one for times in starts.values() for one, later in pairwise(sorted(times)))


if __name__ == "__main__":
    from flows.cli.app import main

    with pytest.MonkeyPatch.context() as patch:
        note_starts(Path(sys.argv.pop(1)), patch)
        main()
