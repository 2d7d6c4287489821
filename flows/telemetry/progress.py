"""Progress of a run: a bar or JSON lines on the terminal, and a progress artifact and a table in Prefect's UI."""

from __future__ import annotations

import contextvars
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import RenderableType
from rich.progress import Progress, ProgressColumn, Task, TaskID

from flows.configuration.settings import load_settings
from flows.telemetry import counters as metrics
from flows.telemetry.artifacts import LiveProgress, LiveTable
from flows.telemetry.console import is_quiet, new_console
from flows.telemetry.progress_line import ProgressLine

# Interval of artifact updates: each update is a request and a row of the server's database.
_ARTIFACT_EVERY_S = 2.0
_TABLE_EVERY_S = 10.0
_JSON_EVERY_S = 5.0

# Bars are drawn on the error stream; the output of a command stays clean.
console = new_console(stderr=True)


class Details(Protocol):
    """Details of a run's progress."""

    def note(self) -> str:
        """A short summary."""

    def facts(self) -> dict[str, Any]:
        """JSON values by name."""

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a table."""


class Track:
    """Progress of one piece of work. Thread-safe."""

    def __init__(self, name: str, total: int, details: Details | None = None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.details = details
        self._note = ""
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._is_json = load_settings().log == "json" and not is_quiet()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Add `steps` to the steps done."""
        with self._lock:
            self.done += steps
            metrics.DONE.labels(self.name).inc(steps)
            self._note = self._note if note is None else note

    def reach(self, done: int, note: str | None = None) -> None:
        """Set the number of steps done."""
        with self._lock:
            metrics.DONE.labels(self.name).inc(max(done - self.done, 0))
            self.done = done
            self._note = self._note if note is None else note

    def skip(self, steps: int) -> None:
        """Subtract steps that another run has done."""
        with self._lock:
            self.total -= steps

    def finish(self) -> None:
        """Mark the work as finished. Steps that were already done beforehand are not counted."""
        self.done = self.total

    @property
    def note(self) -> str:
        """A short summary."""
        return self.details.note() if self.details else self._note

    @property
    def rate(self) -> float:
        """Steps per second so far."""
        return self.done / max(time.monotonic() - self._started, 1e-9)

    @property
    def left_s(self) -> float | None:
        """Estimated seconds left at the present rate; None before the first step."""
        return (self.total - self.done) / self.rate if self.done else None

    def line(self) -> str:
        """The state of the work in one line."""
        return f"{self.done} of {self.total}, {self.rate:.1f} per s, {self.left_s or 0:.0f} s left. {self.note}".strip()

    def log(self, event: str, **facts: Any) -> None:
        """Write one JSON line to the error stream, if progress is shown that way."""
        if self._is_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            sys.stderr.write(json.dumps({"time": now, "event": event, "name": self.name, **facts}) + "\n")
            sys.stderr.flush()

    def log_progress(self) -> None:
        """Write the state of the work as one JSON line."""
        facts = self.details.facts() if self.details else {"note": self.note}
        left_s = None if self.left_s is None else round(self.left_s, 1)
        self.log("progress", done=self.done, total=self.total, per_s=round(self.rate, 1), left_s=left_s, **facts)

    @property
    def shows_bar(self) -> bool:
        """Whether to draw a bar."""
        return console.is_terminal and not self._is_json and not is_quiet()

    def shown(self) -> ProgressLine:
        """The state of the work as a line of the terminal."""
        took_s = time.monotonic() - self._started
        return ProgressLine(self.name, self.done, self.total, self.rate, self.left_s, self.note, took_s)


@contextmanager
def track(name: str, total: int, details: Details | None = None) -> Iterator[Track]:
    """Show the progress of `total` steps while the block runs; a recorded run must be a flow or task run.

    Args:
        details: shown in a separate table.
    """
    state = Track(name, total, details)
    stop = threading.Event()
    key = name.lower().replace(" ", "-").replace("_", "-")
    shown = LiveProgress(f"progress-{key}", name)
    table = LiveTable(f"live-{key}", f"{name}, live") if details else None
    context = contextvars.copy_context()
    watcher = threading.Thread(target=context.run, args=(_watch, state, shown, table, stop), daemon=True)
    watcher.start()
    try:
        yield state
        state.finish()
    finally:
        stop.set()
        watcher.join()


def _watch(state: Track, artifact: LiveProgress, table: LiveTable | None, stop: threading.Event) -> None:
    shown, tabled, logged = _Every(_ARTIFACT_EVERY_S), _Every(_TABLE_EVERY_S), _Every(_JSON_EVERY_S)
    with _bars(state) as (bars, bar):
        ended = False
        while not ended:
            ended = stop.wait(0.25)
            bars.update(bar, completed=state.done)
            if shown.is_time() or ended:
                metrics.LEFT.labels(state.name).set(state.total - state.done)
                share = 100.0 * state.done / max(state.total, 1)
                artifact.show(min(share, 100.0), state.line())
            if table and state.details and (tabled.is_time() or ended):
                table.show(state.details.rows(), state.line())
            if logged.is_time() or ended:
                state.log_progress()


class _Line(ProgressColumn):
    """The whole line of a bar, since only that knows which of its parts fit."""

    def __init__(self, state: Track) -> None:
        super().__init__()
        self._state = state

    # Rich renders what it gets.
    def render(self, task: Task) -> RenderableType:
        return self._state.shown()


@contextmanager
def _bars(state: Track) -> Iterator[tuple[Progress, TaskID]]:
    is_shown = state.shows_bar
    with Progress(_Line(state), console=console, refresh_per_second=4, expand=True, disable=not is_shown) as bars:
        yield bars, bars.add_task(state.name, total=state.total)


class _Every:
    """True once per interval."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def is_time(self) -> bool:
        now = time.monotonic()
        is_time = now - self._last >= self._seconds
        self._last = now if is_time else self._last
        return is_time
