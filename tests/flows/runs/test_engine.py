"""Flows and tasks without a server: validated, retried, and recorded nowhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import Field

from flows.runs.engine import attempt, emit, flow, is_recorded, run_logger, task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from storage.errors import UsageError
from storage.files.lake import Lake

_ATTEMPTS: list[int] = []


@task(name="flaky", task_run_name="flaky", tags=[], retries=2, final=(UsageError,))
def flaky(failures: int, error: type[Exception] = OSError) -> int:
    _ATTEMPTS.append(attempt())
    if len(_ATTEMPTS) <= failures:
        raise error("no")
    return len(_ATTEMPTS)


@task(name="flaky async", task_run_name="flaky", tags=[], retries=2, final=(UsageError,))
async def flaky_async(failures: int, error: type[Exception] = OSError) -> int:
    await asyncio.sleep(0)
    return flaky.fn(failures, error)


@flow(name="counting", flow_run_name="counting {num}")
def counting(num: Annotated[int, Field(ge=1)], kind: str = "sync") -> Any:
    run_logger().info("counting")
    artifacts.table("t", [{"a": 1}], "a table")
    artifacts.markdown("m", lambda: pytest.fail("a page is drawn that nobody sees"), "a page")
    emit("happened", {"prefect.resource.id": "a"}, {})
    with track("count", 3) as progress:
        progress.advance(3)
    return (num, type(num)) if kind == "sync" else asyncio.run(flaky_async(num))


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server is named, and Prefect may start none."""
    _ATTEMPTS.clear()
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert not is_recorded()
        yield


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("run", [flaky, lambda *given: asyncio.run(flaky_async(*given))], ids=["sync", "async"])
class TestTasks:
    def test_a_task_is_run_again_until_it_succeeds(self, run: Any) -> None:
        assert run(2) == 3
        assert _ATTEMPTS == [1, 2, 3]

    def test_a_task_that_fails_at_every_attempt_raises_its_last_error(self, run: Any) -> None:
        with pytest.raises(OSError, match="no"):
            run(3)
        assert _ATTEMPTS == [1, 2, 3]

    def test_a_final_error_is_not_retried(self, run: Any) -> None:
        with pytest.raises(UsageError, match="no"):
            run(3, UsageError)
        assert _ATTEMPTS == [1]


@pytest.mark.usefixtures("no_server")
def test_a_failed_attempt_is_logged_with_the_time_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    flaky(1)
    (line,) = caplog.messages
    assert line == "task flaky: attempt 1 failed, next in 0 s: OSError('no')"


@pytest.mark.usefixtures("no_server")
def test_parameters_of_a_flow_are_validated_and_converted() -> None:
    assert counting("7") == (7, int)  # type: ignore[arg-type]
    with pytest.raises(ParameterTypeError, match="greater than or equal to 1"):
        counting(0)


@pytest.mark.usefixtures("no_server")
def test_an_asynchronous_task_runs_within_a_flow() -> None:
    assert counting(2, kind="async") == 3


@pytest.mark.parametrize("num_failures", [0, 2])
def test_with_a_server_a_task_has_the_same_attempts_and_is_recorded(num_failures: int) -> None:
    _ATTEMPTS.clear()
    assert is_recorded()
    assert recorded(num_failures) == num_failures + 1
    assert list(range(1, num_failures + 2)) == _ATTEMPTS


@flow(name="recorded", flow_run_name="recorded {failures}")
def recorded(failures: int) -> int:
    return flaky(failures)


@pytest.mark.attack(2)
def test_a_command_without_a_server_starts_none_and_writes_no_history(tmp_path: Path) -> None:
    Lake(tmp_path / "lake").begin()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    program = (
        "import sys, atexit, pathlib; from flows.cli.app import main\n"
        "atexit.register(lambda: print('children:', pathlib.Path('/proc/thread-self/children').read_text()))\n"
        "sys.argv[1:] = ['check', '--lake', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "lake")],
        env=kept | {"PREFECT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "children: \n" in done.stdout
    assert not list((tmp_path / "home").rglob("*.db"))
