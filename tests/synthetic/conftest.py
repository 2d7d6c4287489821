from pathlib import Path

import pytest

from synthetic.world import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of 20 links: 120 links, enough for one of every fault."""
    folder = tmp_path_factory.mktemp("made") / "world"
    make_world(folder, num_identities=6, per_identity=20, seed=3)
    return folder
