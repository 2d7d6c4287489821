"""Hosts are divided among the runs that fetch, so that a host sees the limits of one run however many there are.

    leases/hosts/all/<run>.<generation>.json     a run, and the slices of hosts that it holds

A host belongs to one of 256 slices. A run requests it only while it holds its slice. Each run has one file, the one of
its highest generation; no other run writes it. It is rewritten three times in `good_for_s`, as every lease. When other
slices are held, it is the next generation, so that a write that arrives late changes nothing.

Exclusion. A run that takes slices first writes them into its file, then reads the files of all others, and holds only
what none of them names; it takes the rest out again. Of two runs that take the same slice, the one whose file is
written later reads the other's: never do both hold it. A run gives a slice up after its last request there. While a
purge or a repair has the lake to itself (`sole_use`), no slice is taken.

Expiry. A run whose file stays unchanged for `good_for_s`, by the observer's clock, has lost its slices, and so has one
whose process has ended on the observer's machine. The run itself stops earlier: nine tenths of `good_for_s` after the
start of its last successful write. It then starts anew, under another name. Clocks of two machines are never compared.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from storage.errors import LakeError
from storage.files.lake import Lake, to_json
from storage.files.processes import is_gone, this_process
from storage.leases.leases import LAKE, SOLE, parse_lease, state_in
from storage.leases.slice_rules import ALL, NUM_SLICES, WORTH_SHARING, Claim, Decision, decide

STAGE, OF = "hosts", "all"
_LOOK_EVERY_S = 2.0
_BEATS = 3
# A run with work looks twice per renewal; one that waits looks more often.
_LOOKS = 6
# Its clock and the observer's may differ in speed, and its last request needs time to end.
_OWN_SHARE = 0.9
# No file is good for longer, whatever it says.
_LONGEST_S = 600.0
_UNKNOWN = -1
_NAME = re.compile(r"(?P<run>.+)\.(?P<generation>\d+)\.json")


def boot_clock() -> float:
    """Seconds since boot, including those in which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Observation(NamedTuple):
    """The last observed content of another run's file, and when it was first observed."""

    content: bytes
    since_s: float


class HostSlices:
    """The slices of one run; a context manager that gives them up at its end.

    A thread takes free slices, renews the file, and finds out what other runs need.

    Args:
        name: of the run, for people; followed by random digits.
        good_for_s: seconds without renewal after which other runs may take the slices over.
        rest_s: seconds between taking a slice and the first request there: the least time between two requests to a
            host, the last of which another run may have made.
        worth: the number of links left from which a run's work is shared.
        on_change: called from the thread after each look.
        clock: returns seconds from an arbitrary start.

    Attributes:
        decision: what the last look found.
    """

    def __init__(
        self,
        lake: Lake,
        name: str,
        *,
        good_for_s: float,
        rest_s: float = 0.0,
        worth: int = WORTH_SHARING,
        on_change: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._lake, self._clock, self._on_change = lake, clock, on_change
        self._good_for_s, self._rest_s, self._worth = min(good_for_s, _LONGEST_S), rest_s, worth
        self._run, self._holder = f"{name}-{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        # Of the newest file, and of the last that was tried to write.
        self._generation = self._last = self._count = 0
        self._holds = self._wants = self._left = 0
        # What the newest file says; _UNKNOWN if a write failed, since that may have been carried out nevertheless.
        self._written = _UNKNOWN
        self._files: list[str] = []
        self._written_s = self._good_until_s = 0.0
        self._rests: list[tuple[float, int]] = []
        self._is_replaced = self._is_closed = self._has_said_work = False
        self._seen: dict[str, _Observation] = {}
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"hosts of {name}", daemon=True)
        self._error: Exception | None = None
        self.decision = Decision()

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed = True
        self._wake.set()
        self._keeper.join()
        self._holds = 0
        with suppress(OSError, LakeError):
            self._remove(list(self._files))

    @property
    def is_lost(self) -> bool:
        """Whether the lease was not renewed in time: nothing is held, and the object is of no more use."""
        return self._is_replaced or (self._generation > 0 and self._clock() >= self._good_until_s)

    @property
    def held(self) -> int:
        """The set of slices whose hosts this run may request now."""
        holds = self._holds  # before the rests, which the thread notes before it adds slices
        if not holds or self.is_lost:
            return 0
        now = self._clock()
        for until_s, slices in self._rests:
            holds &= ~slices if now < until_s else holds
        return holds

    def report(self, wants: int, left: int) -> None:
        """Say in which slices links are left, and how many can be requested: to others with the next renewal, or at
        once if work has begun or ended.
        """
        has_changed = bool(self._left) != bool(left)
        self._wants, self._left = wants, left
        if has_changed:
            self._wake.set()

    def check(self) -> None:
        """Call this periodically.

        Raises:
            LakeError: the first file cannot be written.
        """
        if self._error:
            raise self._error

    def give_up(self, slices: int) -> None:
        """Give slices up. Nothing may be in flight at their hosts.

        Raises:
            LakeError: this could not be written; they are not used any more, and are free once the lease has expired.
        """
        with self._lock:
            if slices & self._holds and not self.is_lost:
                self._holds &= ~slices
                self._write(self._holds)

    def look(self) -> None:
        """Look at the other runs, take what is free, and renew the file if that is due."""
        with self._lock:
            others = self._others()
            if self.is_lost:
                return
            mine = Claim(self._run, self._holds, self._wants, self._left)
            self.decision = decide(mine, others, self._worth)
            if self.decision.takes:
                self._take(self.decision.takes)
            elif self._written != self._holds or self._is_due():
                self._write(self._holds)

    def _is_due(self) -> bool:
        """Whether the file is to be renewed, or others wait to read whether this run has work."""
        return bool(self._left) != self._has_said_work or self._clock() >= self._written_s + self._good_for_s / _BEATS

    # -- the thread --

    def _keep(self) -> None:
        while not self._is_closed and not self.is_lost:
            self._wake.clear()
            try:
                self.look()
            except (OSError, LakeError) as error:
                # Tried again at the next look; if it keeps failing, the lease expires.
                self._error = None if self._generation else error
            self._on_change()
            self._wait(self._rest_left_s())
            self._on_change()
            self._wait(self._good_for_s / _LOOKS if self._left else _LOOK_EVERY_S * random.uniform(0.5, 1))  # noqa: S311
        self._on_change()

    def _wait(self, seconds: float) -> None:
        if not self._is_closed:
            self._wake.wait(min(seconds, self._good_for_s / _LOOKS))

    def _rest_left_s(self) -> float:
        return max((until_s - self._clock() for until_s, _ in self._rests), default=0.0)

    # -- files --

    def _path(self, generation: int, run: str = "") -> str:
        return self._lake.leases(STAGE, OF, f"{run or self._run}.{generation}.json")

    def _write(self, holds: int) -> None:
        """Write this run's file; only a write that ends in time renews the lease."""
        started_s, former = self._clock(), list(self._files)
        if holds != self._written:
            self._last += 1
            self._files.append(self._path(self._last))
        self._written = _UNKNOWN
        self._lake.write(self._files[-1], self._content(holds))
        if self.is_lost:
            self._is_replaced = True
            return
        self._written, self._written_s, self._generation = holds, started_s, self._last
        self._good_until_s = started_s + _OWN_SHARE * self._good_for_s
        self._remove([path for path in former if path != self._files[-1]])

    def _remove(self, files: list[str]) -> None:
        for path in files:
            self._lake.remove_file(path)
            self._files.remove(path)

    def _take(self, slices: int) -> None:
        """Take those slices that no other run's file names after they are in this run's file."""
        self._write(self._holds | slices)
        free = slices
        for other in self._others(reads_all=True):
            free &= ~other.holds
        if free != slices:
            self._write(self._holds | free)
        now = self._clock()
        self._rests = [rest for rest in self._rests if rest[0] > now]
        self._rests.append((now + self._rest_s, free))
        self._holds |= free

    def _others(self, *, reads_all: bool = False) -> list[Claim]:
        """The claims of all other runs that are going on; files of those that have ended are removed.

        Args:
            reads_all: also the files that are, by their listing, as they were when last read, and those of a purge.
        """
        while True:
            states = self._lake.states(self._lake.leases(STAGE, OF))
            newest = _newest(states)
            if newest.pop(self._run, 0) < self._generation:
                self._is_replaced = True  # somebody has removed the file
            known = {} if reads_all else states
            with suppress(FileNotFoundError):  # replaced or removed meanwhile: listed again
                found = [self._claim_of(run, self._path(number, run), known) for run, number in newest.items()]
                return [one for one in (*found, *(self._sole() if reads_all else ())) if one]

    def _sole(self) -> list[Claim | None]:
        """The claims of runs that have the lake to themselves (`sole_use`): their leases name no slices, so all."""
        newest = _newest(self._lake.names(self._lake.leases(SOLE, LAKE)))
        paths = {run: self._lake.leases(SOLE, LAKE, f"{run}.{number}.json") for run, number in newest.items()}
        return [self._claim_of(run, path, {}) for run, path in paths.items()]

    def _claim_of(self, run: str, path: str, states: dict[str, str]) -> Claim | None:
        """What another run says in its file; None if it has ended.

        Args:
            states: of the files that are read only if they have changed.

        Raises:
            FileNotFoundError: there is no such generation any more.
        """
        seen = self._seen.get(run)
        if seen and self._lake.is_content(state_in(states, path), seen.content):
            content = seen.content
        else:
            content = self._lake.read(path)
        values = parse_lease(content)
        if not self._is_dead(run, content, values):
            return parse_claim(run, values)
        self._lake.remove_file(path)
        return None

    def _is_dead(self, run: str, content: bytes, values: dict[str, Any]) -> bool:
        if is_gone(str(values.get("process", ""))):
            return True
        seen = self._seen.get(run)
        if seen is None or seen.content != content:
            self._seen[run] = _Observation(content, self._clock())
            return False
        good_for_s = values.get("good_for_s")
        if not (isinstance(good_for_s, int | float) and 0 < good_for_s <= _LONGEST_S):
            good_for_s = _LONGEST_S
        return self._clock() - seen.since_s >= good_for_s

    def _content(self, holds: int) -> bytes:
        self._count += 1
        facts = {"holder": self._holder, "count": self._count, "good_for_s": self._good_for_s}
        self._has_said_work = bool(self._left)
        claim = {"holds": _to_hex(holds), "wants": _to_hex(self._wants), "left": self._left}
        place = {"host": socket.gethostname(), "process": this_process(), "since": self._since}
        return to_json({**facts, **claim, **place})


def _newest(names: Iterable[str]) -> dict[str, int]:
    """The highest generation of each run."""
    newest: dict[str, int] = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            newest[match["run"]] = max(newest.get(match["run"], 0), int(match["generation"]))
    return newest


def parse_claim(run: str, values: dict[str, Any]) -> Claim:
    """The claim in a run's file. One that cannot be parsed claims everything, until it expires."""
    left = values.get("left")
    holds, wants = _from_hex(values.get("holds")), _from_hex(values.get("wants"))
    return Claim(run, ALL if holds is None else holds, wants or 0, left if isinstance(left, int) else 0)


def _to_hex(slices: int) -> str:
    return f"{slices:0{NUM_SLICES // 4}x}"


def _from_hex(value: Any) -> int | None:
    with suppress(ValueError, TypeError):
        return int(value, 16) & ALL
    return None
