"""Processes that belong together, with small real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from flows.service import supervisor as processes
from flows.service.supervisor import Process, stop_all, stopping, supervise
from storage.errors import ServiceError
from tests.waiting import wait_until

LASTS = "import time; time.sleep(3600)"


def python(name: str, code: str) -> Process:
    return Process(name, [sys.executable, "-c", code], os.environ)


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_ends_is_started_again_and_given_up_when_it_ends_at_once_time_after_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_RESTART_AFTER_S", 0.0)
    monkeypatch.setattr(processes, "_LOOK_EVERY_S", 0.05)
    server, worker = python("server", LASTS), python("worker", "raise SystemExit(3)")
    told: list[str] = []
    with stopping(partial(stop_all, [server, worker])):
        server.start()
        worker.start()
        with pytest.raises(
            ServiceError, match="worker ended 5 times within 20 s of its start, the last time with exit code 3"
        ):
            supervise([server, worker], report=told.append)
        assert server.exit_code is None
    assert told == ["worker ended with exit code 3; restarting"] * 4


def test_what_is_killed_again_and_again_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_RESTART_AFTER_S", 0.0)
    monkeypatch.setattr(processes, "_LOOK_EVERY_S", 0.01)
    told: list[str] = []

    def report(line: str) -> None:
        told.append(line)
        if len(told) == 7:
            raise KeyboardInterrupt

    killed = python("server", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(KeyboardInterrupt), stopping(partial(stop_all, [killed])):
        killed.start()
        supervise([killed], report=report)
    assert told == ["server ended with exit code -9; restarting"] * 7


def test_a_worker_that_ends_at_once_is_not_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_RESTART_AFTER_S", 3600.0)
    worker, slept = python("worker", ""), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        time.sleep(0.5)

    worker.start()
    assert worker.running is not None
    worker.running.wait()
    with stopping(partial(stop_all, [worker])), pytest.raises(KeyboardInterrupt):
        supervise([worker], report=lambda line: None, sleep=sleep)
    assert 3000 < slept[0] <= 3600


def test_what_a_process_left_behind_is_killed_and_mended_before_it_is_started_again(tmp_path: Path) -> None:
    orphan = (
        "import subprocess, sys; from pathlib import Path\n"
        f"child = subprocess.Popen([sys.executable, '-c', {LASTS!r}])\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))"
    )
    worker, answers = python("worker", orphan), [False, True]

    def recover() -> bool:
        wait_until("the orphan ends", lambda: not is_running(int((tmp_path / "pid").read_text())))
        return answers.pop(0)

    def sleep(seconds: float) -> None:
        if not answers:
            raise KeyboardInterrupt

    worker.recover = recover
    worker.start()
    wait_until("the worker ends", lambda: worker.exit_code is not None)
    with stopping(partial(stop_all, [worker])), pytest.raises(KeyboardInterrupt):
        supervise([worker], report=lambda line: None, sleep=sleep)
    assert answers == []


def test_what_a_block_started_is_stopped_in_the_order_given_and_a_second_signal_changes_nothing(
    tmp_path: Path,
) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    print(sys.argv[1], file=open(sys.argv[2], 'a')); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); open(sys.argv[2] + sys.argv[1], 'w'); time.sleep(3600)"
    )
    log = tmp_path / "log"
    server, worker = (
        Process(name, [sys.executable, "-c", code, name, str(log)], os.environ) for name in ("server", "worker")
    )
    again = partial(signal.raise_signal, signal.SIGINT)
    with (
        pytest.raises(KeyboardInterrupt),
        stopping(partial(stop_all, [worker]), again, partial(stop_all, [server])),
    ):
        for process in (server, worker):
            process.start()
        wait_until(
            "both have begun",
            lambda: all(Path(f"{log}{process.name}").exists() for process in (server, worker)),
        )
        signal.raise_signal(signal.SIGTERM)
    assert log.read_text().split() == ["worker", "server"]


def test_what_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_GRACE_S", 0.2)
    ready = tmp_path / "ready"
    ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf = python("deaf", f"{ignores}; open({str(ready)!r}, 'w'); {LASTS}")
    deaf.start()
    wait_until("it has begun", ready.exists)
    stop_all([deaf])
    assert deaf.exit_code == -signal.SIGKILL


def test_a_service_that_is_killed_outright_takes_its_processes_along() -> None:
    code = (
        "import os, sys, time\nfrom flows.service.supervisor import Process\n"
        f"child = Process('child', [sys.executable, '-c', {LASTS!r}], os.environ)\n"
        "child.start()\nprint(child.running.pid, flush=True)\ntime.sleep(3600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.communicate()
    wait_until("the child ends", lambda: not is_running(child))
