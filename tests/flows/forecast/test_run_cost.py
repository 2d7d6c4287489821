"""`--dry-run`: what a run would cost, by the documents or by the lake's own history; nothing is written or asked."""

from __future__ import annotations

import hashlib
import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.training_config import training_config
from flows.forecast.fetch_cost import fetch_cost
from flows.forecast.train_cost import train_cost
from flows.selection import Selection
from storage.files.lake import Lake
from storage.records import Reason
from storage.tables.parquet import write_table
from storage.versions.models import write_model
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.links.plan import plan
from tests.tasks.builders import NOW, attempt, attempts
from tests.tasks.image_shards import link_lines
from tests.tasks.made_lake import SOURCE, make_lake

LINE = "{:08d} http://{}.example/{}.jpg 1.00 1.00 90.00 90.00 3.00 2.00 1\n"
PEOPLE = ["Ada", "Bo", "Cy", "Di", "Ed", "Flo", "Gus"]


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """Seven people with three links each, all of them on one host but the first of each."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in PEOPLE:
        text = "".join(LINE.format(n, name.lower() if n == 1 else "busy", f"{name}{n}") for n in (1, 2, 3))
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Lake:
    """A lake with a published dataset."""
    lake = make_lake(tmp_path / "lake")
    publish_source(lake, Request("faces-mtcnn", SOURCE, "mtcnn"))
    return lake


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be connected, and no name resolved."""

    def refused(*_: object, **__: object) -> Any:
        raise AssertionError("a dry run contacts nobody")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file and folder with its content and the time of its last change."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def dry(lake: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--lake", str(lake), "--dry-run", "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if not code else result.stderr


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("command", ["ingest", "pipeline", "crop", "train"])
def test_a_lake_is_bit_for_bit_as_before(made: Lake, command: str) -> None:
    before = tree(Path(made.root))
    assert dry(Path(made.root), command)
    assert tree(Path(made.root)) == before


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("command", ["ingest", "pipeline"])
def test_a_lake_that_does_not_exist_is_not_made_and_no_yes_is_needed(tmp_path: Path, links: Path, command: str) -> None:
    found = dry(tmp_path / "new", command, "--links", str(links))
    (fetch,) = found["fetch"]
    assert (fetch["links"], fetch["people"], fetch["hosts"], fetch["done"]) == (21, 7, 8, 0)
    assert fetch["busiest"] == {"host": "busy.example", "requests": 14, "per_s": 20.0, "least_hours": 14 / 20 / 3600}
    assert (fetch["is_outside"], fetch["has_consent"]) == (True, False)
    assert found["disk"]["free"] > 0
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("offline")
def test_links_on_a_server_are_not_asked_for(tmp_path: Path) -> None:
    told = dry(tmp_path / "new", "ingest", "--source", "vggface1", code=2)
    assert "--dry-run sends no request: download them, and name the file or folder with --links" in told
    assert not (tmp_path / "new").exists()


def test_a_selection_is_counted_as_it_would_be_requested(tmp_path: Path, links: Path) -> None:
    def found(**chosen: Any) -> tuple[int, int]:
        one = fetch_cost(Lake(tmp_path / "new"), Selection("vggface1", str(links), **chosen), {})
        return one.people, one.links

    assert found(identities=3) == (3, 9)
    assert found(identities=["Bo"], per_identity=2) == (1, 2)
    assert "needs at least 6 people" in dry(
        tmp_path / "new", "pipeline", "--links", str(links), "--identities", "3", code=2
    )


def test_without_a_history_hours_are_the_author_s_and_those_of_loopback(tmp_path: Path, links: Path) -> None:
    one = fetch_cost(Lake(tmp_path / "new"), Selection("vggface1", str(links)), {})
    assert one.hours["author"] == pytest.approx(21 / (400_000 / 6))
    assert one.hours["measured"] < one.hours["author"] / 10
    assert (one.measured_by, one.share_accepted) == ("6,000 links on loopback", 0.56)


def test_a_lake_s_own_history_gives_the_rate_the_bytes_and_the_share(tmp_path: Path) -> None:
    lake, lines = Lake(tmp_path / "lake"), link_lines(*[("Ada", n, f"http://a.example/{n}", None) for n in range(900)])
    write_table(lake, lake.links("vggface1", "lines.parquet"), lines)
    write_table(lake, lake.plan("vggface1"), plan(lines))
    rows = [
        attempt(
            f"http://a.example/{n}",
            Reason.CONNECT if n % 4 == 0 else None,
            fetched_at=NOW + timedelta(seconds=n / 4),
            received_bytes=1000,
            next_try=NOW if n % 8 == 0 else None,
        )
        for n in range(800)
    ]
    write_table(lake, f"{lake.images('vggface1', '0000-0')}.parquet", attempts(*rows))
    one = fetch_cost(lake, Selection("vggface1", "https://lists.example/links.tar.gz"), {})
    assert (one.links, one.done, one.due, one.num_bytes) == (100, 800, 100, 100_000)
    assert one.hours["measured"] == pytest.approx(100 / 4 / 3600, rel=0.01)
    assert (one.measured_by, one.share_accepted) == ("this lake's 800 links so far", 0.75)


def test_the_synthetic_dataset_is_counted_before_it_is_generated(tmp_path: Path) -> None:
    found = dry(tmp_path / "new", "pipeline", "--source", "synthetic", "--identities", "8", "--per-identity", "5")
    (fetch,), (crop,) = found["fetch"], found["crop"]
    assert (fetch["links"], fetch["people"], fetch["hosts"], fetch["is_outside"]) == (40, 8, None, False)
    assert (crop["to_search"], crop["methods"]) == (round(40 * 0.56), ["bbox", "mtcnn"])
    assert (found["train"]["dataset"], found["train"]["is_new"]) == (None, True)
    assert found["disk"]["needed"] == fetch["num_bytes"] + 2 * crop["num_bytes"]


def test_pictures_that_are_searched_and_cropped_already_cost_nothing(made: Lake) -> None:
    (one,) = dry(Path(made.root), "crop")["crop"]
    # Its faces were written without detections, which are missing.
    assert one["to_search"] == one["to_crop"] == one["pictures"] == 56
    assert one["cpu_hours"] == pytest.approx(56 * 0.0351 / 3600)
    (larger,) = dry(Path(made.root), "crop", "--set", "detect.min_face_px=100", "--method", "mtcnn")["crop"]
    assert larger["cpu_hours"] == pytest.approx(56 * 0.0094 / 3600)
    assert larger["num_bytes"] < one["num_bytes"]


def test_a_training_is_known_by_its_faces_steps_and_device(made: Lake) -> None:
    found = dry(Path(made.root), "train", "--device", "cpu", "--preset", "cpu", "--steps", "900")["train"]
    assert (found["people"], found["faces"], found["steps"], found["device"]) == (4, 16, 900, "cpu")
    assert found["faces_per_step"] == 16 * 4
    assert found["hours"] == pytest.approx(900 / 4500 / 3)
    assert found["is_new"]


def test_a_pipeline_that_cleans_trains_twice(tmp_path: Path) -> None:
    asked = ["pipeline", "--source", "synthetic", "--identities", "8", "--per-identity", "5", "--device", "cpu"]
    once, twice = (dry(tmp_path / "new", *asked, *more)["train"] for more in ([], ["--clean"]))
    assert (once["num_trainings"], twice["num_trainings"]) == (1, 2)
    assert twice["hours"] == pytest.approx(2 * once["hours"])


def test_a_lake_s_own_training_gives_the_hours_and_an_existing_version_is_told(made: Lake) -> None:
    preset, config = training_config("embedder", margin=1.0, preset="smoke", steps=100, device="cpu")
    recipe = config.recipe()
    history = {"intervals": [{"step": 1, "loss": 1.0, "learning_rate": 1.0, "images_per_s": one} for one in (10, 30)]}
    files = {"history.json": json.dumps(history).encode(), "lineage.json": b'{"device": "cpu"}'}
    write_model(made, "other", "v1", files, {"config": recipe, "trained_at": "2026"})
    cost = train_cost(made, None, preset, config)
    assert cost.hours == pytest.approx(100 * 32 / 15 / 3600)
    assert cost.measured_by == "an earlier training of this lake"


@pytest.mark.parametrize("command", ["crop", "train", "pipeline", "ingest"])
def test_the_answer_fits_80_columns(made: Lake, command: str) -> None:
    result = CliRunner().invoke(app, [command, "--lake", made.url, "--dry-run"], terminal_width=80)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("dry run  nothing was requested, and nothing was written")
    assert max(map(len, result.stdout.splitlines())) <= 80
