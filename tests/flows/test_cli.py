"""The command line: exit codes, one clear line for what cannot be done, JSON for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from storage.lake import Lake
from tasks.sources.synthetic.origin import Origin

runner = CliRunner()


def refused(*arguments: str) -> str:
    """The one line a refused command prints."""
    result = runner.invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("facemill: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--links", "no/such/folder"], "there is no such file or folder"),
        (["--connect-to", "nowhere"], "wants HOST:PORT"),
        (["--identities", "0"], "leaves nobody"),
        (["--source", "vggface2"], "--links"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    lake = tmp_path / "lake"
    assert told in refused("ingest", "--lake", str(lake), *arguments)
    assert not lake.exists()


def test_an_empty_archive_is_told_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    empty = tmp_path / "empty.tar.gz"
    empty.touch()
    assert "empty" in refused("ingest", "--lake", str(tmp_path / "lake"), "--links", str(empty))
    assert not (tmp_path / "lake").exists()


def test_a_lake_of_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "lake.json").write_text('{"format": 99}')
    result = runner.invoke(app, ["status", "--lake", str(tmp_path)])
    assert result.exit_code == 1
    assert "format 99" in result.stderr
    assert "install a newer one" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lake.json"]


def test_a_wrong_setting_in_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_PER_HOST", "many")
    assert "FACEMILL_PER_HOST='many'" in refused("status")


def test_steps_that_come_too_early_say_what_comes_first(tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    assert "no lake" in refused("status", "--lake", lake)
    assert "facemill ingest" in refused("crop", "--lake", lake)
    assert "facemill publish" in refused("train", "--lake", lake)


def test_a_world_can_be_made_and_one_folder_holds_one_world(tmp_path: Path) -> None:
    sized = ["--identities", "2", "--per-identity", "3", "--seed"]
    result = runner.invoke(app, ["world", "make", str(tmp_path / "world"), *sized, "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["num_links"] == 6
    refused("world", "make", str(tmp_path / "world"), *sized, "2")


def test_status_counts_what_an_ingest_brought(tmp_path: Path, world: Path, origin: Origin) -> None:
    lake = str(tmp_path / "lake")
    where = ["--lake", lake, "--connect-to", f"127.0.0.1:{origin.port}"]
    first = runner.invoke(app, ["ingest", *where, "--links", str(world / "links"), "--identities", "3", "--json"])
    assert first.exit_code == 0, first.output
    asked = json.loads(first.stdout)["asked"]

    counts = json.loads(runner.invoke(app, ["status", "--lake", lake, "--json"]).stdout)["sources"]["vggface1"]
    assert counts["links"] == 96
    assert counts["candidates"] == asked == counts["accepted"] + sum(counts["rejected"].values())

    again = runner.invoke(app, ["retry", *where, "--json"])
    assert json.loads(again.stdout)["asked"] == counts["due"]
    assert runner.invoke(app, ["status", "--lake", lake]).exit_code == 0
    assert Lake(lake).names("images/vggface1")
