"""Progress seen twice: a bar on the terminal, and a progress artifact in Prefect's UI."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# How often the artifact moves: each update is a request and a row of the server's database.
_ARTIFACT_EVERY_S = 2.0

# Bars go to the error stream, so that what a command prints stays clean.
console = Console(stderr=True)


class Track:
    """One piece of work being done; tell it what is done, it tells whoever watches. Safe to call from threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.note = ""
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """So many more are done."""
        with self._lock:
            self.done += steps
            self.note = self.note if note is None else note

    def reach(self, done: int, note: str | None = None) -> None:
        """So many are done in all."""
        with self._lock:
            self.done = done
            self.note = self.note if note is None else note

    @property
    def rate(self) -> float:
        """Steps a second so far."""
        return self.done / max(time.monotonic() - self._started, 1e-9)

    def line(self) -> str:
        """Where the work stands, in words."""
        left_s = (self.total - self.done) / self.rate if self.done else 0
        return f"{self.done} of {self.total}, {self.rate:.1f} a second, {left_s:.0f} s left. {self.note}".strip()


@contextmanager
def track(name: str, total: int) -> Iterator[Track]:
    """Show the progress of `total` steps for as long as the block runs; must be called within a flow or task run."""
    state = Track(total)
    stop = threading.Event()
    key = name.lower().replace(" ", "-").replace("_", "-")
    artifact = create_progress_artifact(progress=0.0, key=f"progress-{key}", description=name, _sync=True)  # type: ignore[call-arg]
    context = contextvars.copy_context()
    watcher = threading.Thread(target=context.run, args=(_watch, name, state, artifact, stop), daemon=True)
    watcher.start()
    try:
        yield state
        state.reach(state.total)  # what was found done already was never counted
    finally:
        stop.set()
        watcher.join()


def _watch(name: str, state: Track, artifact: UUID, stop: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=state.total, rate=0.0, note="")
        told = time.monotonic()
        ended = False
        while not ended:
            ended = stop.wait(0.25)
            bars.update(bar, completed=state.done, rate=state.rate, note=state.note)
            if ended or time.monotonic() - told >= _ARTIFACT_EVERY_S:
                told = time.monotonic()
                share = 100.0 * state.done / max(state.total, 1)
                update_progress_artifact(artifact, progress=min(share, 100.0), description=state.line(), _sync=True)  # type: ignore[call-arg]
