"""Process untrusted bytes in child processes, which the kernel ends if they exceed their limits of time or memory.

A decoder cannot be stopped from within its process, and its cost cannot always be computed beforehand. Children are
started on first use, serve one call at a time, and are replaced when they end. Messages are a line of JSON and bytes,
so nothing that a child sends is executed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

from storage.stamps.setting_field import setting

# Facts that JSON can represent, and bytes.
Result = tuple[dict[str, Any], bytes]

# Reached only by calls that hang without using CPU, or with 30 other processes per core.
_MOST_WALL_S = 600.0
# An idle child takes 69 MB, and ends after this time.
_IDLE_S = 60.0
# A child notices the end of its parent within this time.
_LOOK_S = 1.0
_ENVIRONMENT = {
    # BLAS would start a thread a core.
    "OPENBLAS_NUM_THREADS": "1",
    # A thread would have 64 MB of addresses reserved, in which the next call could allocate beyond its limit.
    "MALLOC_ARENA_MAX": "1",
    # Blocks of 1 MB or more go back to the kernel once freed. By default glibc keeps up to 32 MB blocks in its heap,
    # where the next call could use them beyond its limit: a picture of 36 MB passed under 20 MB.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}
# A child is replaced after this many calls, since decoders may leak memory.
_MOST_CALLS = 1000
MOST_CHILDREN = min(os.cpu_count() or 1, 4)
# Signals of a crashed decoder. Any other signal came from outside.
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one call: CPU seconds, and bytes of address space beyond those of an idle child.

    Of valid pictures of 64 million pixels PNG with alpha takes the most time, 3.7 CPU-s, and lossless WebP the most
    memory, 1.0 GB (`bench.decode`).
    """

    cpu_s: int = setting(20, "CPU seconds per picture", ge=1, le=600)
    memory_bytes: int = setting(2_000_000_000, "bytes of memory per picture", ge=100_000_000)


class OverLimitError(Exception):
    """The call exceeded its CPU time or memory."""


class CrashedError(Exception):
    """The child process crashed during the call."""


class FailedError(CrashedError):
    """The function raised an exception."""


class StoppedError(Exception):
    """The call was stopped by `Call.stop`."""


class Call:
    """One call of `work(data, **options)` in a child process.

    Args:
        work: a module-level function, which returns facts and bytes.
        options: values that JSON can represent.
    """

    def __init__(self, work: Callable[..., Result], data: bytes, limits: Limits = Limits(), **options: Any) -> None:
        head = {"module": work.__module__, "name": work.__name__, "options": options, "limits": astuple(limits)}
        self._message = head, data
        self._limits = limits
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._is_stopped = False

    def run(self) -> Result:
        """The result of the function.

        Raises:
            OverLimitError: it exceeded its limits.
            CrashedError: the child crashed.
            StoppedError: `stop` was called.
            FailedError: the work raised an error.
            RuntimeError: the child could not be started.
        """
        with _PLACES:
            for _ in range(_TRIES):
                child = _take()
                try:
                    facts, data = self._ask(child)
                except (EOFError, OSError):
                    self._raise_cause(child.end())
                    continue
                except BaseException:
                    child.kill()
                    child.end()
                    raise
                _give_back(child)
                return self._checked(facts), data
        raise OverLimitError(f"its process was ended {_TRIES} times from outside, probably for lack of memory")

    def stop(self) -> None:
        """End the work at once, or keep it from beginning."""
        with self._lock:
            self._is_stopped = True
            if self._child:
                self._child.kill()

    def _ask(self, child: _Child) -> Result:
        with self._lock:
            if self._is_stopped:
                raise StoppedError
            self._child = child
        try:
            return child.ask(*self._message)
        finally:
            with self._lock:
                self._child = None

    def _checked(self, facts: dict[str, Any]) -> dict[str, Any]:
        if facts.get("error") == MemoryError.__name__:
            raise OverLimitError(f"over {self._limits.memory_bytes / 1e9:g} GB")
        if "error" in facts:
            raise FailedError(f"the decoder failed: {facts['error']}")
        return facts

    def _raise_cause(self, code: int) -> None:
        """Raise the error that the exit code of a child means for its call; return if the call is to be repeated."""
        if self._is_stopped:
            raise StoppedError
        if code == -signal.SIGXCPU:
            raise OverLimitError(f"over {self._limits.cpu_s} CPU-s")
        if code == -signal.SIGALRM:
            raise OverLimitError(f"over {_MOST_WALL_S:g} s")
        if -code in _CRASHES:
            raise CrashedError(f"the decoder crashed: {signal.Signals(-code).name}")
        if code > 0:
            raise RuntimeError(f"a process for decoding ended with code {code}: {sys.executable} cannot run {__name__}")


class _Child:
    """The parent's side of one child process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({os.getpid()})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | _ENVIRONMENT,
            # Ctrl-C in the terminal goes to the parent, which ends its children.
            process_group=0,
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, head: dict[str, Any], data: bytes) -> Result:
        """Send one call and wait for its result."""
        stdin, stdout = self._pipes()
        guard = threading.Timer(_MOST_WALL_S, self._process.send_signal, [signal.SIGALRM])
        guard.daemon = True
        guard.start()
        try:
            _write(stdin, head, data)
            return _read(stdout)
        finally:
            guard.cancel()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """The exit code of the child; its own if it ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            # It has closed its pipe, so it is about to end.
            self._process.wait(10)
        self._process.kill()
        for pipe in self._pipes():
            with suppress(OSError):
                pipe.close()
        return self._process.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        return stdin, stdout


_PLACES = threading.BoundedSemaphore(MOST_CHILDREN)
_IDLE: list[_Child] = []
# A forked process must not use the pipes of its parent's children.
os.register_at_fork(after_in_child=_IDLE.clear)


def _take() -> _Child:
    with suppress(IndexError):
        while True:
            child = _IDLE.pop()
            if child.is_alive:
                return child
            child.end()
    return _Child()


def _give_back(child: _Child) -> None:
    _IDLE.append(child)


@atexit.register
def _end_idle() -> None:
    for child in _IDLE:
        child.kill()
        child.end()


def serve(parent: int) -> None:
    """The child's main function: serve calls from standard input on standard output until it is closed or idle.

    Args:
        parent: the id of the parent process; this process ends with it.
    """
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Output of decoders is discarded.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        # If memory runs out, the kernel ends this process rather than its parent.
        Path("/proc/self/oom_score_adj").write_text("1000")
    for _ in range(_MOST_CALLS):
        if not select.select([calls], [], [], _IDLE_S)[0]:
            return
        try:
            head, data = _read(calls)
        except EOFError:
            return
        _write(answers, *_done(head, data, nowhere))


def _end_with(parent: int) -> None:
    """Wait for the end of the parent, then end this process, whatever it does.

    PR_SET_PDEATHSIG would end it with the thread that started it, and a closed pipe is noticed only between two calls.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _done(head: dict[str, Any], data: bytes, nowhere: int) -> Result:
    work: Callable[..., Result] = getattr(importlib.import_module(head["module"]), head["name"])
    # After the import, whose errors should be visible.
    os.dup2(nowhere, 2)
    limits = Limits(*head["limits"])
    # Garbage of the call before would be memory for this one. The rest is frozen: a collection would take 4 ms a call.
    gc.collect()
    gc.freeze()
    _limit(resource.RLIMIT_AS, _bytes_in_use() + limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + limits.cpu_s)
    try:
        return work(data, **head["options"])
    except MemoryError:
        return {"error": MemoryError.__name__}, b""
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return {"error": repr(error)[:500]}, b""


def _write(file: IO[bytes], head: dict[str, Any], data: bytes) -> None:
    file.write(json.dumps(head | {"num_bytes": len(data)}).encode() + b"\n")
    file.write(data)
    file.flush()


def _read(file: IO[bytes]) -> Result:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    head: dict[str, Any] = json.loads(line)
    num_bytes = head.pop("num_bytes")
    data = file.read(num_bytes)
    if len(data) < num_bytes:
        raise EOFError
    return head, data


def _bytes_in_use() -> int:
    """The size of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
