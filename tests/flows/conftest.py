"""A real Prefect server for the session, and made worlds served on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from synthetic.origin import Origin, serving
from synthetic.world import make_world
from tests.waiting import GUARD_S


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Iterator[str]:
    """One server with a database of its own for all flow tests; yields its address."""
    with prefect_test_harness(server_startup_timeout=int(GUARD_S)), pytest.MonkeyPatch.context() as patch:
        # A command that finds none in its environment starts a server of its own.
        patch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    """A client of the server of the flow tests."""
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people with twelve links each, every fault of the field among them."""
    folder = tmp_path_factory.mktemp("worlds") / "world"
    make_world(folder, num_identities=8, per_identity=12, seed=3)
    return folder


@pytest.fixture
def origin(world: Path) -> Iterator[Origin]:
    """The world served anew, so that its temporary failures are all still to come."""
    with serving(world) as origin:
        yield origin


@pytest.fixture(scope="package", autouse=True)
def short_limits() -> Iterator[None]:
    """What is silent for four seconds hangs. Slow answers take 0.2 s: a busy machine makes neither of the other.

    For the package, so that the fixtures of whole modules have them too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthetic.handlers._SLOW_S", 0.2)
        patch.setenv("FACEMILL_SILENCE_S", "4")
        patch.setenv("FACEMILL_TOTAL_S", "15")
        patch.setenv("FACEMILL_WORKERS", "1")
        yield
