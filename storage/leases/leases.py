"""Leases assign the units of a stage to runs. They are files in the lake, so runs that share a lake share the work.

    leases/<stage>/<of>/<unit>.<generation>.json     one unit held; deleted when it is done

The highest generation holds a unit. It is created by a write that fails if the file exists, so one of several runs
succeeds. The holder renews it by rewriting it with a higher count every `good_for_s / 3` seconds. A lease that an
observer has seen unchanged for `good_for_s` on its own clock is expired, and the observer writes the next generation.
Clocks of different machines are never compared. A holder that was taken over stops. A holder on the observer's machine
whose process has ended is dead at once.

While a run has the lake to itself (`sole_use`), no unit is handed out: a run that has written its lease looks for
such a run, and gives the lease back. Of the two, the one that comes second sees the other.

Leases only save work. If two runs process the same unit, the lake stays consistent: names of image shards contain the
writer's id, the first manifest of a version is kept, and everything else is computed to the same content.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from storage.errors import LakeError, LeaseLost
from storage.files.lake import Lake, to_json
from storage.files.processes import is_gone, this_process

# The stage and the group of the leases of runs that have the lake to themselves.
SOLE, LAKE = "sole", "lake"
_log = logging.getLogger("facemill.leases")
_LOOK_EVERY_S = 2.0
_BEATS = 3
_NAME = re.compile(r"(?P<unit>.+)\.(?P<generation>\d+)\.json")


class _Observation(NamedTuple):
    """The last observed content of another run's lease, and when it was first observed."""

    content: bytes
    since_s: float


class Leases:
    """Hands out the units of a stage one by one, each when no other run holds it.

    Iteration waits for the next unit. It ends when all units have been handed out and ended, including those that other
    runs did: the caller checks the lake for the work left in a unit. Use it from one thread, as a context manager; the
    leases themselves may be checked and ended from any thread.

    Args:
        stage, of: the shared work, such as "fetch" of a source.
        units: their names, in the order in which they are handed out.
        good_for_s: seconds without renewal after which other runs may take over a unit.
        at_once: the number of units held at a time.
        look_every_s: seconds between checks of other runs' leases, when they hold all remaining units.
        clock: returns seconds from an arbitrary start.
    """

    def __init__(
        self,
        lake: Lake,
        stage: str,
        of: str,
        units: Iterable[str],
        *,
        good_for_s: float,
        at_once: int = 1,
        look_every_s: float = _LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake, self._stage, self._of = lake, stage, of
        self._left = list(units)
        self._good_for_s, self._at_once, self._clock = good_for_s, at_once, clock
        self._look_every_s = min(look_every_s, good_for_s / 10)
        self._seen: dict[str, _Observation] = {}
        self._held: dict[str, Lease] = {}
        self._ended: list[Lease] = []
        self._is_closed = False
        # Whether another run had the lake to itself at the last look.
        self._is_shut = False
        self._changed = threading.Condition()
        self._keeper = threading.Thread(target=self._keep, name=f"leases of {stage} {of}", daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._keeper.join()

    def __iter__(self) -> Iterator[Lease]:
        while (lease := self.next()) is not None:
            yield lease

    async def __aiter__(self) -> AsyncIterator[Lease]:
        """Iterate asynchronously; the wait runs in a thread."""
        while (lease := await asyncio.to_thread(self.next)) is not None:
            yield lease

    def next(self) -> Lease | None:
        """Wait for a unit that can be done; None once all are done, or the context has ended.

        Raises:
            LakeError: no lease can be written.
        """
        while True:
            with self._changed:
                self._changed.wait_for(self._has_turn)
                if self._is_closed or not self._left:
                    return None
                wanted = list(self._left)
            lease = self._take(wanted)
            with self._changed:
                if lease is None:
                    self._changed.wait(self._look_every_s)
                elif self._is_closed:
                    self._give_back([lease])
                else:
                    self._left.remove(lease.unit)
                    self._held[lease.unit] = lease
                    return lease

    def _has_turn(self) -> bool:
        """Whether a slot is free and a unit is left, or everything is done."""
        return self._is_closed or (len(self._held) < self._at_once if self._left else not self._held)

    # -- what others hold --

    def _path(self, unit: str, generation: int) -> str:
        return self._lake.leases(self._stage, self._of, f"{unit}.{generation}.json")

    @property
    def _folder(self) -> str:
        return self._lake.leases(self._stage, self._of)

    def _generations(self, names: Iterable[str]) -> dict[str, list[int]]:
        """The existing generations of each unit, in ascending order, by the names in the folder."""
        found: dict[str, list[int]] = {}
        for name in names:
            if match := _NAME.fullmatch(name):
                found.setdefault(match["unit"], []).append(int(match["generation"]))
        return {unit: sorted(generations) for unit, generations in found.items()}

    def _take(self, units: list[str]) -> Lease | None:
        if self._is_shut and self._looks_shut():
            return None
        states = self._lake.states(self._folder)
        there = self._generations(states)
        for unit in units:
            highest = max(there.get(unit, [0]))
            is_free = not highest or self._is_dead(self._path(unit, highest), states)
            if is_free and (lease := self._claim(unit, highest + 1)):
                return lease
        return None

    def _claim(self, unit: str, generation: int) -> Lease | None:
        """Write a generation; None if another run wrote it first, has written a later one, or has the lake to
        itself.
        """
        lease = Lease(self, unit, self._path(unit, generation), self._good_for_s)
        if not self._lake.write_once(lease.path, lease.content()):
            return None
        there = self._generations(self._lake.names(self._folder)).get(unit, [generation])
        if there[-1] > generation or self._looks_shut():
            self._lake.remove_file(lease.path)
            return None
        for older in there[:-1]:
            self._lake.remove_file(self._path(unit, older))
        return lease

    def _looks_shut(self) -> bool:
        """Whether another run has the lake to itself; says so once."""
        if self._stage == SOLE:
            return False
        states = self._lake.states(self._lake.leases(SOLE, LAKE))
        paths = [self._lake.leases(SOLE, LAKE, name) for name in states]
        using = [path for path in paths if not self._is_dead(path, states) and self._lake.exists(path)]
        if using and not self._is_shut:
            _log.warning("%s of %s waits until the run of %s/%s ends", self._stage, self._of, self._lake.url, using[0])
        self._is_shut = bool(using)
        return self._is_shut

    def _is_dead(self, path: str, states: dict[str, str]) -> bool:
        seen = self._seen.get(path)
        if seen and self._lake.is_content(state_in(states, path), seen.content):
            content = seen.content
        else:
            try:
                content = self._lake.read(path)
            except FileNotFoundError:
                return False  # released meanwhile: the next check finds no lease
        values = parse_lease(content)
        if is_gone(str(values.get("process", ""))):
            return True
        if seen is None or seen.content != content:
            self._seen[path] = _Observation(content, self._clock())
            return False
        good_for_s = values.get("good_for_s")
        return self._clock() - seen.since_s >= (good_for_s if isinstance(good_for_s, int | float) else self._good_for_s)

    # -- what this run holds --

    def _end(self, lease: Lease) -> None:
        with self._changed:
            if self._held.get(lease.unit) is lease:
                del self._held[lease.unit]
                self._ended.append(lease)
                if lease.is_lost:
                    self._left.append(lease.unit)
            self._changed.notify_all()

    def _keep(self) -> None:
        """Renew the held leases and remove the ended ones; runs in a thread."""
        beat_s = self._good_for_s / _BEATS
        due_s = time.monotonic() + beat_s
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._is_closed, max(due_s - time.monotonic(), 0))
                if self._is_closed:
                    for lease in self._held.values():
                        lease.is_lost = True
                        self._ended.append(lease)
                    self._held.clear()
                ended, self._ended = self._ended, []
                is_last = self._is_closed
            self._give_back(ended)
            if is_last:
                return
            if time.monotonic() >= due_s:
                self.renew()
                due_s = time.monotonic() + beat_s

    # A failed write is retried at the next renewal; if it keeps failing, the lease expires and others take over.

    def _give_back(self, ended: list[Lease]) -> None:
        for lease in ended:
            with suppress(OSError, LakeError):
                if self._is_ours(lease):
                    self._lake.remove_file(lease.path)

    def renew(self) -> None:
        """Renew the held leases and detect those taken over; a thread calls this every `good_for_s / 3` seconds."""
        with self._changed:
            held = [lease for lease in self._held.values() if not lease.is_lost]
        with suppress(OSError, LakeError):
            states = self._lake.states(self._folder) if held else {}
            there = self._generations(states)
            for lease in held:
                highest = max(there.get(lease.unit, [0]))
                is_highest = lease.path == self._path(lease.unit, highest)
                lease.is_lost = not is_highest or not self._is_ours(lease, state_in(states, lease.path))
                if not lease.is_lost:
                    lease.count += 1
                    self._lake.write(lease.path, lease.content())

    def _is_ours(self, lease: Lease, state: str = "") -> bool:
        """Whether the file is as this run wrote it; it is read unless its state (`Lake.states`) says so."""
        if state and self._lake.is_content(state, lease.content()):
            return True
        with suppress(FileNotFoundError):
            return parse_lease(self._lake.read(lease.path)).get("holder") == lease.holder
        return False


class Lease:
    """One unit, held until it is ended. As a context manager it ends with the block and suppresses `LeaseLost`.

    Attributes:
        is_lost: another run holds the unit now; it is handed out again once that run is done.
    """

    def __init__(self, leases: Leases, unit: str, path: str, good_for_s: float) -> None:
        self._leases = leases
        self.unit = unit
        self.path = path
        self.holder = uuid.uuid4().hex
        self.count = 0
        self.is_lost = False
        self._good_for_s = good_for_s
        self._since = datetime.now(UTC).isoformat(timespec="seconds")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self.end()
        return isinstance(error, LeaseLost)

    def check(self) -> None:
        """Call this periodically while working on the unit.

        Raises:
            LeaseLost: another run has taken over the unit.
        """
        if self.is_lost:
            raise LeaseLost(
                f"{self.path} was not renewed for {self._good_for_s:g} s, and another run has taken over the unit; "
                "this run continues with others"
            )

    def end(self) -> None:
        """Release the lease: the unit is done, or has failed."""
        self._leases._end(self)

    def content(self) -> bytes:
        """The bytes of the lease file."""
        facts = {"holder": self.holder, "count": self.count, "good_for_s": self._good_for_s}
        return to_json({**facts, "host": socket.gethostname(), "process": this_process(), "since": self._since})


def state_in(states: dict[str, str], path: str) -> str:
    """The state of a file in a folder that has been listed (`Lake.states`); empty if it was not there."""
    return states.get(path.rpartition("/")[2], "")


@contextmanager
def alone(
    lake: Lake, stage: str, of: str, unit: str, *, good_for_s: float, look_every_s: float = _LOOK_EVERY_S
) -> Iterator[Lease]:
    """Wait until no other run holds this unit, and hold it for the block."""
    with Leases(lake, stage, of, [unit], good_for_s=good_for_s, look_every_s=look_every_s) as leases:
        lease = leases.next()
        assert lease is not None, "the only unit is handed out once"
        try:
            yield lease
        finally:
            lease.end()


class Held(NamedTuple):
    """A lease file in a lake: the unit, the machine that holds it, and the start by that machine's clock.

    Attributes:
        is_dead: the process is known to be gone.
        path: of the file.
    """

    stage: str
    of: str
    unit: str
    host: str
    since: str
    is_dead: bool
    path: str


def held(lake: Lake) -> list[Held]:
    """All leases of a lake, including those of killed runs; `is_dead` is set where the process is known to be gone."""
    places = [(stage, of) for stage in lake.names(lake.leases()) for of in lake.names(lake.leases(stage))]
    return [one for stage, of in places for one in _held_in(lake, stage, of)]


def _held_in(lake: Lake, stage: str, of: str) -> list[Held]:
    """The leases in a folder. A file that is gone once it was listed may have a next generation: listed again."""
    found, known, is_whole = list[Held](), set[str](), False
    while not is_whole and (names := [name for name in lake.names(lake.leases(stage, of)) if name not in known]):
        known.update(names)
        leases = [_held_at(lake, stage, of, name) for name in names]
        found += [one for one in leases if one]
        is_whole = None not in leases
    return found


def _held_at(lake: Lake, stage: str, of: str, name: str) -> Held | None:
    """A lease file; None if it has been removed."""
    path = lake.leases(stage, of, name)
    with suppress(FileNotFoundError):
        values = parse_lease(lake.read(path))
        facts = str(values.get("host", "")), str(values.get("since", ""))
        return Held(stage, of, name.rsplit(".", 2)[0], *facts, is_gone(str(values.get("process", ""))), path)
    return None


def parse_lease(content: bytes) -> dict[str, Any]:
    """The fields of a lease file; empty if it cannot be parsed."""
    with suppress(ValueError, RecursionError):
        value = json.loads(content)
        return value if isinstance(value, dict) else {}
    return {}
