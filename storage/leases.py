"""Leases: which run does which unit of a stage. They lie in the lake, so all runs that share it share the work.

    leases/<stage>/<of>/<unit>.<generation>.json     one unit held; gone once it is done

The highest generation holds a unit. It is written only where nothing is yet, which one of several can do. Its holder
writes it anew, with a higher count, every third of the seconds it is good for. Who has seen it unchanged for as many
seconds of their own clock takes it for dead, and writes the next generation: no two clocks are held against each other,
so none can be wrong. A holder that is overtaken so stops. Where it ran on the machine of the one who looks, and its
process is gone, it is dead at once.

Leases only save work. Should two runs do a unit at the same time after all, the lake is right: shards of images bear
their writer's digits, the first manifest of a version stays, and all else is computed to the same content.
"""

from __future__ import annotations

import asyncio
import json
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
from storage.lake import Lake, to_json
from storage.processes import is_gone, this_process

_LOOK_EVERY_S = 2.0
_BEATS = 3
_NAME = re.compile(r"(?P<unit>.+)\.(?P<generation>\d+)\.json")


class _Seen(NamedTuple):
    """A lease of another run as it was found, and since when it has been so."""

    content: bytes
    since_s: float


class Leases:
    """The units of a stage, handed out one by one, each when no other run holds it.

    Iterating waits for the next one, and ends when all have been handed out and ended, also those that others did:
    whoever gets a unit looks into the lake for what is left of it to do. To be used by one thread, as a context; the
    leases themselves may be checked and ended in any.

    Args:
        stage, of: what is shared, such as "fetch" of a source.
        units: their names, in the order in which they are wanted.
        good_for_s: seconds after which others may take over a unit from a run that has fallen silent.
        at_once: so many are held at a time.
        look_every_s: how often to look again at what others hold, once they hold all that is left.
        clock: tells seconds, from any start.
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
        self._seen: dict[str, _Seen] = {}
        self._held: dict[str, Lease] = {}
        self._ended: list[Lease] = []
        self._is_closed = False
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
        """The same, waiting in a thread."""
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
        """Whether there is something to decide: a place is free and a unit is left, or all is done."""
        return self._is_closed or (len(self._held) < self._at_once if self._left else not self._held)

    # -- what others hold --

    def _path(self, unit: str, generation: int) -> str:
        return self._lake.leases(self._stage, self._of, f"{unit}.{generation}.json")

    def _generations(self) -> dict[str, list[int]]:
        """By unit the generations that are there, the highest last."""
        found: dict[str, list[int]] = {}
        for name in self._lake.names(self._lake.leases(self._stage, self._of)):
            if match := _NAME.fullmatch(name):
                found.setdefault(match["unit"], []).append(int(match["generation"]))
        return {unit: sorted(generations) for unit, generations in found.items()}

    def _take(self, units: list[str]) -> Lease | None:
        there = self._generations()
        for unit in units:
            highest = max(there.get(unit, [0]))
            if (not highest or self._is_dead(self._path(unit, highest))) and (lease := self._claim(unit, highest + 1)):
                return lease
        return None

    def _claim(self, unit: str, generation: int) -> Lease | None:
        """Write a generation; None if another run was first, or has come further meanwhile."""
        lease = Lease(self, unit, self._path(unit, generation), self._good_for_s)
        if not self._lake.write_once(lease.path, lease.content()):
            return None
        there = self._generations().get(unit, [generation])
        if there[-1] > generation:
            self._lake.remove(lease.path)
            return None
        for older in there[:-1]:
            self._lake.remove(self._path(unit, older))
        return lease

    def _is_dead(self, path: str) -> bool:
        try:
            content = self._lake.read(path)
        except FileNotFoundError:
            return False  # given up just now: the next look finds no lease
        told = _told(content)
        if is_gone(str(told.get("process", ""))):
            return True
        seen = self._seen.get(path)
        if seen is None or seen.content != content:
            self._seen[path] = _Seen(content, self._clock())
            return False
        good_for_s = told.get("good_for_s")
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
        """In a thread: renew what is held, and take back what has ended."""
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

    # A lake that cannot be written now may be at the next beat; if not, others see no change, and take over.

    def _give_back(self, ended: list[Lease]) -> None:
        for lease in ended:
            with suppress(OSError, LakeError):
                if self._is_ours(lease):
                    self._lake.remove(lease.path)

    def renew(self) -> None:
        """Renew what is held and find out what others have taken over; a thread does so every third of `good_for_s`."""
        with self._changed:
            held = [lease for lease in self._held.values() if not lease.is_lost]
        with suppress(OSError, LakeError):
            there = self._generations() if held else {}
            for lease in held:
                highest = max(there.get(lease.unit, [0]))
                lease.is_lost = lease.path != self._path(lease.unit, highest) or not self._is_ours(lease)
                if not lease.is_lost:
                    lease.count += 1
                    self._lake.write(lease.path, lease.content())

    def _is_ours(self, lease: Lease) -> bool:
        with suppress(FileNotFoundError):
            return _told(self._lake.read(lease.path)).get("holder") == lease.holder
        return False


class Lease:
    """One unit, held until it is ended. As a context it ends with the block, and stops it quietly if it was lost.

    Attributes:
        is_lost: another run has it now; it is handed out again once that one is done.
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
        """To be called now and then while the unit is done.

        Raises:
            LeaseLost: another run is doing it.
        """
        if self.is_lost:
            raise LeaseLost(
                f"{self.path} was not renewed for {self._good_for_s:g} s, and another run has taken the unit over; "
                "this one goes on with others"
            )

    def end(self) -> None:
        """Give it back: the unit is done, or has failed."""
        self._leases._end(self)

    def content(self) -> bytes:
        """What stands in the file."""
        facts = {"holder": self.holder, "count": self.count, "good_for_s": self._good_for_s}
        return to_json({**facts, "host": socket.gethostname(), "process": this_process(), "since": self._since})


@contextmanager
def alone(
    lake: Lake, stage: str, of: str, unit: str, *, good_for_s: float, look_every_s: float = _LOOK_EVERY_S
) -> Iterator[Lease]:
    """Wait until no other run does this unit, and do it in the block."""
    with Leases(lake, stage, of, [unit], good_for_s=good_for_s, look_every_s=look_every_s) as leases:
        lease = leases.next()
        assert lease is not None, "the only unit is handed out once"
        try:
            yield lease
        finally:
            lease.end()


class Held(NamedTuple):
    """A lease that lies in a lake: what is held by which machine, since when by its clock."""

    stage: str
    of: str
    unit: str
    host: str
    since: str
    is_dead: bool


def held(lake: Lake) -> list[Held]:
    """All leases of a lake, also those of runs that were killed; `is_dead` where that is known at once."""
    found = []
    for stage in lake.names(lake.leases()):
        for of in lake.names(lake.leases(stage)):
            for name in lake.names(lake.leases(stage, of)):
                with suppress(FileNotFoundError):
                    told = _told(lake.read(lake.leases(stage, of, name)))
                    place = stage, of, name.rsplit(".", 2)[0]
                    facts = str(told.get("host", "")), str(told.get("since", ""))
                    found.append(Held(*place, *facts, is_gone(str(told.get("process", "")))))
    return found


def _told(content: bytes) -> dict[str, Any]:
    """What a lease says; nothing, if it is no lease."""
    with suppress(ValueError, RecursionError):
        value = json.loads(content)
        return value if isinstance(value, dict) else {}
    return {}
