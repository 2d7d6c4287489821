from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.images import sandbox
from tasks.images.sandbox import Call, CrashedError, FailedError, Limits, OverLimitError, Result, StoppedError
from tests.waiting import wait_until

# Work for child processes, which find it by its name.


def twice(data: bytes) -> Result:
    return {"process": os.getpid()}, 2 * data


def run_forever(data: bytes) -> Result:
    while True:
        pass


def take_memory(data: bytes, num_bytes: int) -> Result:
    return {"taken": len(bytearray(num_bytes))}, data


def die(data: bytes, signal_number: int) -> Result:
    os.kill(os.getpid(), signal_number)
    time.sleep(3600)
    return {}, data


def wait(data: bytes, gate: str) -> Result:
    os.mkfifo(gate)
    # Opening waits for the other side, which never comes.
    with open(gate) as file:  # noqa: PTH123
        return {}, file.read().encode()


def fail(data: bytes) -> Result:
    raise LookupError("not there")


def print_much(data: bytes) -> Result:
    os.write(1, b"x" * 100_000)
    return {}, data


ROOT = Path(__file__).parents[3]
# A process that has a child wait for a FIFO.
PARENT = """
import sys
from tasks.images.sandbox import Call
from tests.tasks.images.test_sandbox import wait
Call(wait, b"", gate=sys.argv[1]).run()
"""


def process() -> int:
    return int(Call(twice, b"").run()[0]["process"])


def test_a_call_gives_what_its_work_gives() -> None:
    assert Call(twice, b"ab\n").run()[1] == b"ab\nab\n"


def test_an_error_of_the_work_is_told() -> None:
    with pytest.raises(FailedError, match=r"LookupError.*not there"):
        Call(fail, b"").run()


def test_a_child_serves_one_call_after_another() -> None:
    assert process() == process() != os.getpid()


def test_what_decoders_print_does_not_reach_the_answer() -> None:
    assert Call(print_much, b"a").run() == ({}, b"a")


@pytest.mark.attack(4)
def test_work_without_end_is_ended_by_its_processor_time_and_the_next_call_is_served() -> None:
    with pytest.raises(OverLimitError, match="over 1 CPU-s"):
        Call(run_forever, b"", Limits(cpu_s=1)).run()
    assert Call(twice, b"a").run()[1] == b"aa"


@pytest.mark.attack(5)
def test_work_that_takes_too_much_memory_fails_and_less_of_it_does_not() -> None:
    limits = Limits(memory_bytes=100_000_000)
    with pytest.raises(OverLimitError, match=r"over 0\.1 GB"):
        Call(take_memory, b"", limits, num_bytes=110_000_000).run()
    assert Call(take_memory, b"", limits, num_bytes=50_000_000).run() == ({"taken": 50_000_000}, b"")


def test_limits_are_those_of_the_call_and_not_of_the_one_before() -> None:
    Call(twice, b"", Limits(memory_bytes=50_000_000)).run()
    assert Call(take_memory, b"", num_bytes=110_000_000).run()[0] == {"taken": 110_000_000}


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE])
def test_a_decoder_that_crashes_takes_its_child_along_only(number: int) -> None:
    with pytest.raises(CrashedError, match=signal.Signals(number).name):
        Call(die, b"", signal_number=int(number)).run()
    assert Call(twice, b"a").run()[1] == b"aa"


def test_a_child_that_somebody_else_ends_again_and_again_is_over_the_limit() -> None:
    with pytest.raises(OverLimitError, match="from outside"):
        Call(die, b"", signal_number=int(signal.SIGKILL)).run()


def test_a_child_that_has_gone_meanwhile_is_replaced() -> None:
    first = process()
    os.kill(first, signal.SIGTERM)
    assert process() != first


@pytest.mark.attack(4)
def test_a_call_that_is_stopped_ends_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    call = Call(wait, b"", gate=str(gate))
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call.run()
        except StoppedError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until("the work has begun", gate.exists)
    call.stop()
    thread.join()  # the work itself takes an hour
    assert [type(error) for error in errors] == [StoppedError]


def test_a_call_that_was_stopped_beforehand_does_not_begin() -> None:
    call = Call(run_forever, b"")
    call.stop()
    with pytest.raises(StoppedError):
        call.run()


def test_more_calls_than_children_wait_for_their_turn() -> None:
    numbers = range(3 * sandbox.MOST_CHILDREN)
    with ThreadPoolExecutor(len(numbers)) as threads:
        results = list(threads.map(lambda number: Call(twice, bytes([number])).run()[1], numbers))
    assert results == [bytes([number, number]) for number in numbers]


@pytest.mark.attack(4)
def test_a_child_that_waits_for_a_fifo_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    # An installed package holds no tests: the child finds them by what its parent was given.
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(gate)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        while not gate.exists():
            assert parent.poll() is None
            time.sleep(0.01)
        (child,) = " ".join(one.read_text() for one in Path(f"/proc/{parent.pid}/task").glob("*/children")).split()
        end = os.pidfd_open(int(child))
    finally:
        parent.kill()
        parent.wait()
    try:
        assert select.select([end], [], [], 600)[0], "the child goes on without its parent"
    finally:
        os.close(end)
