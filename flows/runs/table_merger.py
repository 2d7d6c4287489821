"""The small tables of a run are merged while it goes on, not only at its end: a fetch of weeks writes thousands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Self

from flows.runs.engine import run_logger
from flows.telemetry.progress import Track
from storage.errors import LakeError
from storage.tables.merged_tables import MANY


class TableMerger:
    """Merges in a thread of its own whenever the run has written many tables more. A context manager.

    A merging that fails is a warning: merged tables only make reading faster, and the next one includes its tables.

    Args:
        merge: merges what is not merged, if it is many tables, and returns the number of merged tables written.
        progress: its log has a line for each merging.
    """

    def __init__(self, merge: Callable[[], int], progress: Track) -> None:
        self._merge, self._progress = merge, progress
        # The tables written since the last merging ended: it covers some of those that were written meanwhile.
        self._num_written = 0
        # That of the flow run, so that Prefect shows the warning in it.
        self._context = copy_context()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "merge")
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        self._is_running()

    def wrote(self, num: int = 1) -> None:
        """The run has written so many tables more. Call it from any thread."""
        with self._lock:
            self._num_written += num
            if self._num_written < MANY or self._is_running():
                return
            self._running = self._thread.submit(self._context.run, self._merge_once)

    def _is_running(self) -> bool:
        if self._running is None:
            return False
        if not self._running.done():
            return True
        self._running.result()  # raises what it did not expect
        return False

    def _merge_once(self) -> None:
        try:
            self._progress.log("merged", tables=self._merge())
        except LakeError as error:
            run_logger().warning("small tables are not merged yet, and reading them takes longer: %s", error)
        finally:
            with self._lock:
                self._num_written = 0
