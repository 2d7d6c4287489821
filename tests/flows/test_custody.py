"""The commands that keep a lake fit to be trusted."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from flows.cli.app import app
from flows.crop import crop
from flows.publish import publish
from storage.leases.leases import alone
from tests.flows.cli.test_app import served
from tests.tasks.maintenance.conftest import GROUP, Mill, mill, small_and_quick  # noqa: F401 - fixtures
from tests.tasks.maintenance.fsck.test_check import cut, flip
from tests.tasks.web.origin import Origin, response

runner = CliRunner()


def told(mill: Mill, *arguments: str) -> dict:  # noqa: F811
    result = runner.invoke(app, [*arguments, "--lake", mill.lake.url, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_forget_says_what_it_covers_records_it_and_purges_when_told(mill: Mill) -> None:  # noqa: F811
    version = mill.run().dataset
    dry = told(mill, "forget", "--url", GROUP, "--dry-run")
    assert (dry["covers"][0]["num_pictures"], dry["samples"], mill.lake.names("takedowns")) == (
        1,
        {str(version): 2},
        [],
    )

    recorded = told(mill, "forget", "--url", GROUP, "--note", "request 17")
    assert mill.lake.exists(recorded["recorded"])
    assert recorded["purged"] is None

    purged = told(mill, "forget", "--purge")["purged"]
    assert (purged["pictures"], purged["datasets"]) == (1, {str(version): 2})


def test_forget_tells_people_what_is_left_to_do(mill: Mill) -> None:  # noqa: F811
    mill.run()
    shown = runner.invoke(app, ["forget", "--identity", "Person_0", "--identity", "Nobody", "--lake", mill.lake.url])
    assert "near copies, not covered" in shown.stdout
    assert "no link line has the name 'Nobody'" in shown.stdout
    assert "`facemill forget --purge` removes them" in shown.stdout
    empty = runner.invoke(app, ["forget", "--identity", "", "--lake", mill.lake.url])
    assert (empty.exit_code, len(mill.lake.names("takedowns"))) == (2, 1)
    nothing = runner.invoke(app, ["forget", "--lake", mill.lake.url])
    assert (nothing.exit_code, "name what to forget" in nothing.stderr) == (2, True)


def test_beside_a_run_a_takedown_is_recorded_and_purge_and_repair_are_refused(mill: Mill) -> None:  # noqa: F811
    mill.run()
    where = ["--lake", mill.lake.url]
    with alone(mill.lake, "fetch", "made", "0001", good_for_s=3600):
        refused = runner.invoke(app, ["forget", "--url", GROUP, "--purge", *where, "--json"])
        assert (refused.exit_code, "fetch made 0001 on" in refused.stderr) == (1, True)
        assert mill.lake.exists(json.loads(refused.stdout)["recorded"])
        repair = runner.invoke(app, ["check", "--repair", *where])
        assert (repair.exit_code, "no repair of" in repair.stderr) == (1, True)
    assert told(mill, "forget", "--purge")["purged"]["pictures"] == 1


def test_check_tells_what_is_wrong_and_repair_mends_it(mill: Mill) -> None:  # noqa: F811
    mill.run()
    assert told(mill, "check")["findings"] == []
    flip(next(Path(mill.lake.root).glob("images/*/*.tar")), 900)

    found = runner.invoke(app, ["check", "--lake", mill.lake.url, "--json"])
    assert (found.exit_code, [one["kind"] for one in json.loads(found.stdout)["findings"]]) == (1, ["broken_bytes"])
    shown = runner.invoke(app, ["check", "--lake", mill.lake.url, "--quick"])
    assert "no findings" in shown.stdout
    mended = runner.invoke(app, ["check", "--lake", mill.lake.url, "--repair"])
    assert (mended.exit_code, "pictures are due for retry" in " ".join(mended.stdout.split())) == (0, True)
    assert told(mill, "check")["findings"] == []


def test_the_road_restores_what_a_repair_put_aside(mill: Mill) -> None:  # noqa: F811
    origin = Origin({f"/{url.rsplit('/', 1)[1]}": response(data) for url, data in mill.web.items()})
    with served(origin):
        where = ["--lake", mill.lake.url, "--connect-to", f"127.0.0.1:{origin.port}"]

        def run() -> str:
            for command in (["ingest", *where, "--links", str(mill.links)], ["retry", *where]):
                result = runner.invoke(app, command)
                assert result.exit_code == 0, result.output
            crop(mill.lake.url, method="bbox")
            return str(publish(mill.lake.url, method="bbox", min_face=20)[0]["version"])

        before = run()
        root = Path(mill.lake.root)
        flip(min(root.glob("images/*/*.tar")), 900)
        cut(min(root.glob("faces/bbox/*/*.tar")), 3000)
        min(root.glob("detections/*/*.parquet")).unlink()
        min(root.glob("datasets/*/*/index.parquet")).unlink()
        assert runner.invoke(app, ["check", "--lake", mill.lake.url, "--repair"]).exit_code == 0
        assert run() == before
        assert told(mill, "check")["findings"] == []
