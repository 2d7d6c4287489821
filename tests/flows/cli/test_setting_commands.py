"""`facemill settings`: what --set changes."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from flows.cli.app import app

runner = CliRunner()


def test_the_settings_of_a_command_are_listed_with_type_default_and_meaning() -> None:
    lines = runner.invoke(app, ["settings", "publish"]).output.splitlines()
    at = lines.index("  select.min_sharpness=0.0  (float, at least 0)")
    assert "Laplacian" in lines[at + 1]
    assert not any(line.startswith("  train.") for line in lines)


def test_all_settings_are_listed_for_machines() -> None:
    rows = {row["setting"]: row for row in json.loads(runner.invoke(app, ["settings", "--json"]).stdout)}
    assert {"fetch.total_s", "hosts.broken_s", "detect.engine", "train.learning_rate"} <= rows.keys()
    assert rows["split.test_share"] == {
        "group": "split",
        "setting": "split.test_share",
        "type": "float, 0 to 1",
        "default": "0.15",
        "value": "0.15",
        "from": "default",
        "commands": ["publish", "pipeline"],
        "meaning": "share of the people in test",
    }


def test_a_command_without_settings_is_refused_in_one_line() -> None:
    result = runner.invoke(app, ["settings", "check"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "check has no --set; these have: ingest, pipeline" in result.stderr
