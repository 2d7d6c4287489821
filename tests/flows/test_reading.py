"""A look at a lake writes nothing into it: every command that reads, and every dry run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from storage.versions.models import write_model
from tests.tasks.maintenance.conftest import GROUP, Mill, finished, small_and_quick  # noqa: F401 - fixtures

runner = CliRunner()
METRICS = b'{"trained": {"auc": 0.9, "tar_at_far": {}}, "untrained": {"auc": 0.5, "tar_at_far": {}}}'
FILES = {"metrics.json": METRICS, "lineage.json": b"{}", "config.json": b"{}"}

Facts = dict[str, tuple[int, bytes | None]]


def facts(lake: str) -> Facts:
    """Time and bytes of everything in a lake."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted([Path(lake), *Path(lake).rglob("*")])
    }


@pytest.fixture(scope="module")
def mill(finished: Mill) -> Mill:  # noqa: F811
    """A lake with dataset and model versions, whose pictures have changed since they were last compared."""
    lake = finished.lake
    write_model(
        lake, "embedder", "v1", FILES, {"dataset": str(finished.run().dataset), "trained_at": "2026", "auc": 0.9}
    )
    lake.remove(lake.unique("vggface1"))
    return finished


COMMANDS = [
    ["status"],
    ["status", "--hosts"],
    ["datasets", "list"],
    ["datasets", "show", "faces"],
    ["diff", "faces", "faces", "--lines"],
    ["report", "faces", "--out", "OUT/page.html"],
    ["export", "faces", "OUT/folder", "--to", "imagefolder"],
    ["models", "list"],
    ["models", "show", "embedder"],
    ["forget", "--identity", "Person_0", "--dry-run"],
    ["forget", "--url", GROUP, "--dry-run"],
    ["forget", "--url", GROUP, "--dry-run", "--near-copies"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:3]))
def test_a_command_that_reads_leaves_every_file_as_it_was(mill: Mill, tmp_path: Path, command: list[str]) -> None:
    before = facts(mill.lake.root)
    given = [word.replace("OUT", str(tmp_path)) for word in command]
    result = runner.invoke(app, [*given, "--lake", mill.lake.url])
    assert result.exit_code == 0, result.output
    assert facts(mill.lake.root) == before
