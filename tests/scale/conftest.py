"""One rack for all trials of a session; nothing of it where Debian's engines or namespaces are missing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthetic.world import make_world
from tests.scale import engines, store
from tests.scale.hosts import can_make_hosts
from tests.scale.machines import Machines
from tests.scale.machines import machines as all_machines


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A unit is 25 people: twelve units, 1200 links."""
    folder = tmp_path_factory.mktemp("worlds") / "world"
    make_world(folder, num_identities=300, per_identity=4, seed=1)
    return folder


@pytest.fixture(scope="session")
def machines(world: Path) -> Iterator[Machines]:
    """The rack, with all that is on it."""
    if engines.installed() is None or not shutil.which("redis-server") or not store.is_installed():
        pytest.skip("PostgreSQL, Redis or Ceph is not installed: docs/guides/several-machines.md names the packages")
    if not can_make_hosts():
        pytest.skip("network namespaces cannot be created here: only root may, and not in every container")
    # Not in pytest's folder, which only root may enter: PostgreSQL runs as another user.
    with tempfile.TemporaryDirectory(prefix="facemill-rack-") as folder:
        Path(folder).chmod(0o755)
        with all_machines(Path(folder), world) as made:
            yield made
