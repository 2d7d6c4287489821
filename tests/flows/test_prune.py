"""What the command line and the flow make of a prune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.prune import prune
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.datasets import versions
from tests.tasks.maintenance.prune.versions import contents, dataset, model

runner = CliRunner()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three versions of faces-mtcnn, and a model of the first."""
    lake = Lake(tmp_path / "lake")
    for number in range(3):
        dataset(lake, f"v{number}", 3040 - 10 * number)  # long ago by any clock
    model(lake, "m0", 1, "faces-mtcnn@v0")
    return lake


def shown(lake: Lake, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, [*arguments, "--lake", lake.url], terminal_width=200)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def told(lake: Lake, *arguments: str) -> Any:
    return json.loads(shown(lake, *arguments, "--json"))


def test_it_says_first_what_goes_and_why_and_how_many_bytes_come_back(lake: Lake) -> None:
    before = contents(lake)
    dry = shown(lake, "prune", "--keep-last", "1", "--dry-run")
    assert "goes faces-mtcnn@v1:" in dry
    assert "not among the newest 1" in dry
    assert "stays faces-mtcnn@v0:" in dry
    assert "embedder@m0 was trained on it" in dry
    assert "come back" in dry
    assert "nothing was removed: this was a dry run" in dry
    assert contents(lake) == before

    found = told(lake, "prune", "--keep-last", "1")
    assert (found["pruned"]["removed"], found["pruned"]["num_bytes"]) == (["faces-mtcnn@v1"], found["bytes"])
    assert [one["what"] for one in found["goes"]] == ["faces-mtcnn@v1"]
    assert sum(map(len, before.values())) - sum(map(len, contents(lake).values())) < found["bytes"]


def test_pruned_versions_are_listed_with_all_only_and_can_be_shown(lake: Lake) -> None:
    shown(lake, "prune", "--keep-within", "15d", "--even-lineage")
    assert "v1" not in shown(lake, "datasets", "list")
    listed = told(lake, "datasets", "list", "--all")
    assert [(one["version"], bool(one["pruned"])) for one in listed] == [("v0", True), ("v1", True), ("v2", False)]
    assert "pruned 20" in shown(lake, "datasets", "list", "--all")
    page = shown(lake, "datasets", "show", "faces-mtcnn@v1")
    assert "older than 15 days, only the manifest is left" in page
    assert told(lake, "datasets", "show", "faces-mtcnn@v0")["pruned"]["even_lineage"] == ["embedder@m0"]
    line = shown(lake, "train", "--dataset", "faces-mtcnn@v1", code=2)
    assert line.startswith("facemill: faces-mtcnn@v1 was pruned on 20")
    assert told(lake, "models", "list", "--all")[0]["pruned"] is None


def test_a_pruned_model_is_shown_by_its_manifest(lake: Lake) -> None:
    model(lake, "m1", 0.5, "faces-mtcnn@v0")
    shown(lake, "prune", "--keep-last", "1")
    assert "m0" not in shown(lake, "models", "list")
    page = shown(lake, "models", "show", "embedder@m0")
    assert "embedder@m0" in page
    assert "not among the newest 1, only the manifest is left" in page
    assert told(lake, "models", "show", "embedder@m0")["manifest"]["pruned"]["why"] == "not among the newest 1"


def test_without_a_policy_the_command_refuses_and_the_flow_does_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(lake)
    assert "no policy is set, so everything is kept" in shown(lake, "prune", code=2)
    found = prune(lake.url)
    assert (found["goes"], found["pruned"]) == ([], None)
    assert contents(lake) == before
    assert "write hours, days or weeks" in shown(lake, "prune", "--keep-within", "soon", code=2)


def test_the_flow_takes_its_policy_from_the_settings(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_KEEP_LAST", "2")
    assert prune(lake.url, dry_run=True)["pruned"] is None
    assert prune(lake.url)["goes"] == []  # v0 is of the model
    monkeypatch.setenv("FACEMILL_KEEP_WITHIN", "1h")
    assert prune(lake.url, keep_last=1)["pruned"]["removed"] == ["faces-mtcnn@v1"]
    assert [one.version for one in versions(lake, "faces-mtcnn")] == ["v0", "v2"]
    monkeypatch.setenv("FACEMILL_KEEP_WITHIN", "soon")
    with pytest.raises(UsageError, match="FACEMILL_KEEP_WITHIN='soon' is invalid"):
        prune(lake.url)


def test_the_disk_is_told_by_kind_and_version(lake: Lake) -> None:
    shown(lake, "prune", "--keep-last", "1")
    found = told(lake, "status", "--disk")
    assert found["bytes"] == sum(map(len, contents(lake).values()))
    page = shown(lake, "status", "--disk")
    assert "faces-mtcnn@v1 (pruned)" in page
    assert "are free on this disk" in page
    assert "exclude each other" in shown(lake, "status", "--disk", "--hosts", code=2)
