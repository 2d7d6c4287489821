"""The crop flow: its options, and the page it writes when asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.crop import crop
from flows.ingest import ingest
from synthetic.origin import Origin
from tasks.faces.methods import METHOD_CHOICES
from tests.opened import opened_files, tables_opened


def test_the_command_line_names_every_method() -> None:
    shown = CliRunner().invoke(app, ["crop", "--help"]).output
    assert "|".join(METHOD_CHOICES) in shown
    refused = CliRunner().invoke(app, ["crop", "--method", "magic"])
    assert refused.exit_code == 2
    assert "'magic' is not one of" in refused.output


@pytest.mark.slow
def test_a_report_is_written_when_asked_for_and_tables_are_merged_meanwhile(
    tmp_path: Path, world: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.runs.table_merger.MANY", 1)
    monkeypatch.setenv("FACEMILL_LOG", "json")
    lake = str(tmp_path / "lake")
    address = f"127.0.0.1:{origin.port}"
    for _ in range(2):
        counts = asyncio.run(ingest(lake, links=str(world / "links"), connect_to=address, identities=3))
    with opened_files() as opened:
        again = asyncio.run(ingest(lake, links=str(world / "links"), connect_to=address, identities=3))
    assert again == counts
    assert {path.split("/")[0] for path in tables_opened(opened)} == {"links"}
    capsys.readouterr()
    assert "report" not in crop(lake)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert ("detect and crop", "merged") in {(event.get("name"), event["event"]) for event in events}
    with opened_files() as opened:
        again = crop(lake)
    assert (again["detected"], again["cropped"], tables_opened(opened)) == (0, 0, [])
    result = crop(lake, report=True)
    assert result["cropped"] == 0
    assert "bbox against mtcnn" in Path(result["report"]).read_text()
    plain = crop(lake, method="bbox", check_boxes=False)
    assert plain["cropped"] == plain["faces"]["bbox"] > 0
