"""The commands that keep a lake fit to be trusted."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from flows.cli import app
from tests.tasks.custody.conftest import GROUP, Mill, mill  # noqa: F401 - a fixture

runner = CliRunner()


def told(mill: Mill, *arguments: str) -> dict:  # noqa: F811
    result = runner.invoke(app, [*arguments, "--lake", mill.lake.url, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_forget_says_what_it_covers_records_it_and_purges_when_told(mill: Mill) -> None:  # noqa: F811
    version = mill.run().dataset
    dry = told(mill, "forget", "--url", GROUP, "--dry-run")
    assert (dry["covers"][0]["num_pictures"], mill.lake.names("takedowns")) == (1, [])

    recorded = told(mill, "forget", "--url", GROUP, "--note", "request 17")
    assert mill.lake.exists(recorded["recorded"])
    assert recorded["purged"] is None

    purged = told(mill, "forget", "--purge")["purged"]
    assert (purged["pictures"], purged["datasets"]) == (1, {str(version): 2})


def test_forget_tells_people_what_is_left_to_do(mill: Mill) -> None:  # noqa: F811
    mill.run()
    shown = runner.invoke(app, ["forget", "--identity", "Person_0", "--identity", "Nobody", "--lake", mill.lake.url])
    assert "near copies, not covered" in shown.stdout
    assert "1 of the names stand in no one source" in shown.stdout
    assert "`facemill forget --purge` takes them out" in shown.stdout
    nothing = runner.invoke(app, ["forget", "--lake", mill.lake.url])
    assert (nothing.exit_code, "name what to forget" in nothing.stderr) == (2, True)
