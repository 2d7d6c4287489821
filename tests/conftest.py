"""What holds for all tests."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.web.addresses import literal_address
from tests import fuzzing  # noqa: F401 - registers its profile
from tests.buckets import bucket, faults, lake_anywhere, s3_endpoint  # noqa: F401 - fixtures for all
from tests.virtual_time import VirtualTimeLoop

# Before torch is imported: idle threads that spin make two busy cores twice as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing outside this machine is told that tests are run.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# The settings file of whoever runs the tests is not theirs.
os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir()) / "facemill-tests-no-settings")
# Prefect's console log would go to streams that the tests of the command line have closed.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

_IN_VIRTUAL_TIME = {"web", "synthetic", "test_fetch_unit.py"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of requests, their limits and their pauses run in virtual time; those of other processes do not."""
    is_virtual = not _IN_VIRTUAL_TIME.isdisjoint(item.path.parts)
    return {"loop": VirtualTimeLoop if is_virtual else asyncio.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process ends with minutes of one file while the other is idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests stay on this machine: asking the system's resolver for a name fails the test."""
    real = socket.getaddrinfo

    def addresses_only(host: Any, *args: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if text not in (None, "", "localhost") and literal_address(text) is None:
            raise AssertionError(f"a test asked the system's resolver for {text!r}")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", addresses_only)
