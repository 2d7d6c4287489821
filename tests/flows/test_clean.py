"""Clean on a small album: verdicts by weights from disk, kept in the lake, applied when a version is published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from typer.testing import CliRunner

from flows.cli.app import app
from flows.tasks import compare_task
from storage.files.lake import Lake
from storage.records import ATTEMPTS
from storage.tables.parquet import read_table, rows_to_table, write_table
from storage.versions.datasets import DatasetVersion, open_dataset
from tests.flows.grading import read_truth

pytestmark = pytest.mark.slow

PEOPLE = 3


def facemill(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--source", "vggface2", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--source", "vggface2"])
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "facenet.pt"
    torch.save(InceptionResnetV1().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """The cropped faces of three people; its source is a folder, so nothing is fetched."""
    folder = tmp_path_factory.mktemp("album")
    people = sorted({row["truth_identity"] for row in read_truth(world).values()} - {""})[:PEOPLE]
    for number, row in enumerate(read_truth(world).values()):
        if row["expect"] == "accepted" and row["body"] and row["truth_identity"] in people:
            person = folder / "links" / row["truth_identity"]
            person.mkdir(parents=True, exist_ok=True)
            (person / f"{number:04d}.jpg").write_bytes((world / "bodies" / row["body"]).read_bytes())
    facemill("ingest", "--lake", str(folder / "lake"), "--links", str(folder / "links"))
    facemill("crop", "--lake", str(folder / "lake"))
    return folder / "lake"


def test_verdicts_are_kept_and_a_version_leaves_out_whom_they_doubt(lake: Path, weights: Path) -> None:
    before = facemill("publish", "--lake", str(lake), "--min-face", "40")[0]
    (told,) = facemill("clean", "--lake", str(lake), "--weights", str(weights))
    model, version = told["model"].split("@")
    verdicts = Lake(lake).cleaned("mtcnn", "vggface2", model, version)
    scores = read_table(Lake(lake), f"{verdicts}/faces.parquet")["wrong_person_score"].to_pylist()
    assert told["faces"] == len(scores)
    assert told["people"] == PEOPLE

    def publish(limit: float) -> dict[str, Any]:
        chosen = ["--cleaned-by", "facenet", "--wrong-person-score", str(limit)]
        result = facemill("publish", "--lake", str(lake), "--min-face", "40", *chosen)[0]
        wrong = result["funnel"]["stages"][-1]["rejected"].get("wrong_person", 0)
        return result | {"wrong": wrong}

    limit = sorted(scores)[-3]
    strict, lax = publish(limit), publish(1.0)
    assert 0 < strict["wrong"] <= sum(score >= limit for score in scores)
    assert strict["samples"] < before["samples"]
    assert lax["wrong"] == 0
    assert lax["samples"] == before["samples"]
    assert len({one["version"] for one in (before, strict, lax)}) == 3
    assert publish(limit)["version"] == strict["version"]
    manifest = open_dataset(Lake(lake), f"faces-mtcnn@{strict['version']}").manifest
    assert manifest["cleaning"]["model"] == told["model"]


def test_cleaning_again_writes_nothing(lake: Path, weights: Path) -> None:
    facemill("clean", "--lake", str(lake), "--weights", str(weights))
    files = {path: path.stat().st_mtime_ns for path in lake.rglob("*") if path.is_file()}
    facemill("clean", "--lake", str(lake), "--weights", str(weights))
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*") if path.is_file()} == files


def test_what_cannot_be_done_is_told(lake: Path, tmp_path: Path) -> None:
    where = ["--lake", str(lake)]
    assert "exactly one of" in refused("clean", *where)
    assert "exactly one of" in refused("clean", *where, "--model", "a", "--weights", "b")
    assert "there is no model version embedder" in refused("clean", *where, "--model", "embedder")
    assert "--weights" in refused("clean", *where, "--weights", str(tmp_path / "missing.pt"))
    assert "no model other has scored" in refused("publish", *where, "--cleaned-by", "other")


def test_scores_by_other_rules_are_applied_only_with_the_same_rules(lake: Path, weights: Path) -> None:
    where, rules = ["--lake", str(lake)], ["--set", "clean.rounds=1"]
    facemill("clean", *where, "--weights", str(weights), *rules)
    publish = ["publish", *where, "--min-face", "40", "--cleaned-by", "facenet"]
    assert "with it and the same --set first" in refused(*publish)
    (published,) = facemill(*publish, *rules)
    assert open_dataset(Lake(lake), f"faces-mtcnn@{published['version']}").manifest["clean"] == {"rounds": 1}


def test_a_crop_with_other_settings_stands_in_the_next_version_and_goes_with_the_default(lake: Path) -> None:
    def published(*crop: str) -> DatasetVersion:
        facemill("crop", "--lake", str(lake), *crop)
        (one,) = facemill("publish", "--lake", str(lake), "--min-face", "40")
        return open_dataset(Lake(lake), f"faces-mtcnn@{one['version']}")

    plain, tight, again = published(), published("--set", "crop.margin=0.1"), published()
    assert tight.manifest["made_with"] == {"crop": {"margin": 0.1}}
    assert plain.version == again.version != tight.version
    assert "made_with" not in again.manifest


def test_pictures_that_another_run_fetches_meanwhile_are_compared_too(
    lake: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lake, tmp_path / "lake")
    folder = "images/vggface2"

    def then_fetched(lake: Lake, *args: Any) -> bool:
        done = bool(compare_task(lake, *args))
        stem = next(name for name in lake.names(folder) if name.endswith(".parquet"))
        rows = read_table(lake, f"{folder}/{stem}").slice(0, 1).to_pylist()
        again = [row | {"round": row["round"] + 1, "digest": bytes(32)} for row in rows]
        write_table(Lake(lake.url), f"{folder}/0000-0099-ffffff.parquet", rows_to_table(again, ATTEMPTS))
        return done

    monkeypatch.setattr("flows.clean.compare_task", then_fetched)
    (told,) = facemill("clean", "--lake", str(tmp_path / "lake"), "--weights", str(weights))
    assert told["people"] == PEOPLE
