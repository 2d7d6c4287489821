"""A model version on photos: from the command line and from Python, by its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.inference.embedder import Embedder
from model.configuration.config import TrainConfig
from model.training.training_loop import train
from storage.errors import UsageError
from storage.files.lake import Lake
from tests.flows.inference.test_photos import jpeg, portrait, side_by_side
from tests.model.conftest import write_dataset

runner = CliRunner()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a model that has hardly learned anything."""
    folder = tmp_path_factory.mktemp("models")
    lake = Lake(folder / "lake")
    dataset = write_dataset(lake, "drawn", {"train": 8, "val": 3, "test": 3}, faces_each=4)
    config = TrainConfig(name="embedder", width=0.25, embedding_dim=16, image_px=32, steps=10, device="cpu")
    train(lake, dataset, config, work_folder=folder / "work")
    return lake


@pytest.fixture(scope="module")
def folder(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder, copied elsewhere."""
    (version,) = lake.names("models/embedder")
    copied = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(Path(lake.url) / "models" / "embedder" / version, copied)
    return copied


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, a group, an empty room and a broken file."""
    folder = tmp_path_factory.mktemp("photos")
    for name, image in {
        "anna.jpg": portrait(0).image,
        "bert.jpg": portrait(1).image,
        "group.jpg": side_by_side(portrait(2).image, portrait(3).image),
        "room.jpg": Image.new("RGB", (300, 200), "gray"),
    }.items():
        (folder / name).write_bytes(jpeg(image))
    (folder / "empty").mkdir()
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xffnothing")
    return folder


def run(*arguments: str | Path) -> Result:
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_each_photo_is_embedded_or_told_in_a_line_why_not(folder: Path, photos: Path) -> None:
    result = run("embed", photos, "--model-folder", folder, "--json")
    assert result.exit_code == 1
    rows = {Path(row["photo"]).name: row for row in json.loads(result.stdout)["photos"]}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "anna.jpg": None,
        "bert.jpg": None,
        "group.jpg": None,
        "room.jpg": "no_face",
        "torn.jpg": "broken_image",
    }
    assert np.linalg.norm(rows["anna.jpg"]["embedding"]) == pytest.approx(1, abs=1e-5)
    lines = result.stderr.splitlines()
    assert [line.split(": ", 1)[0] for line in lines] == ["facemill"] * 3
    for line, told in zip(lines, ("shows 2 faces", "no face was detected", "cannot be decoded"), strict=True):
        assert told in line


def test_an_array_has_a_row_a_photo_and_a_table_says_what_was_found(folder: Path, photos: Path, tmp_path: Path) -> None:
    names = ["room.jpg", "anna.jpg"]
    for out in ("faces.npy", "faces.parquet"):
        run("embed", *(photos / name for name in names), "--model-folder", folder, "--out", tmp_path / out)
    array, table = np.load(tmp_path / "faces.npy"), pq.read_table(tmp_path / "faces.parquet").to_pylist()
    assert array.shape == (2, 16)
    assert np.isnan(array[0]).all()
    assert table[1]["embedding"] == array[1].tolist()
    assert [Path(row["photo"]).name for row in table] == names
    assert (table[0]["reason"], table[1]["num_faces"]) == ("no_face", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.npy", "faces.parquet"]


def test_two_photos_are_compared_at_the_threshold_of_the_version(lake: Lake, folder: Path, photos: Path) -> None:
    itself = run("compare", photos / "anna.jpg", photos / "anna.jpg", "--lake", lake.url, "--json")
    assert itself.exit_code == 0
    verdict = json.loads(itself.stdout)
    assert (verdict["is_same"], verdict["distance"]) == (True, pytest.approx(0, abs=1e-5))
    thresholds = json.loads((folder / "thresholds.json").read_text())
    assert verdict["threshold"] == pytest.approx(2 - 2 * thresholds["accuracy"])

    other = run("compare", photos / "anna.jpg", photos / "group.jpg", "--model-folder", folder)
    assert other.exit_code == 0
    assert "probability of the same person" in other.stdout
    assert "group.jpg shows 2 faces; the main one was taken" in other.stderr


def test_python_says_the_same_as_the_command(folder: Path, photos: Path) -> None:
    embedder = Embedder(folder)
    verdict = embedder.compare(photos / "anna.jpg", photos / "bert.jpg")
    told = json.loads(
        run("compare", photos / "anna.jpg", photos / "bert.jpg", "--model-folder", folder, "--json").stdout
    )
    assert told["distance"] == pytest.approx(verdict.distance)
    assert 0 < verdict.probability < 1


def test_done_photos_are_told_as_they_come(folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.inference.embedder._BATCH", 2)
    done: list[int] = []
    assert len(list(Embedder(folder).embed([photos / "anna.jpg"] * 3, done.append))) == 3
    assert done == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "{photos}/anna.jpg", "{photos}/room.jpg", "--model-folder", "{folder}"], "no face was detected"),
        (["compare", "{photos}/anna.jpg", "nobody.jpg", "--model-folder", "{folder}"], "nobody.jpg cannot be read"),
        (["embed", "nobody.jpg", "--model-folder", "{folder}"], "no such photo or folder: nobody.jpg"),
        (["embed", "{photos}/empty", "--model-folder", "{folder}"], "no photo found in"),
        (["embed", "{photos}", "--model-folder", "{folder}", "--out", "a.csv"], "must end in .npy or .parquet"),
        (
            ["embed", "{photos}", "--model-folder", "{folder}", "--out", "no/such/a.npy"],
            "the folder no/such does not exist",
        ),
        (["embed", "{photos}", "--model-folder", "{photos}"], "manifest.json is missing"),
        (["embed", "{photos}", "--model-folder", "{folder}", "--model", "a"], "exclude each other"),
        (["embed", "{photos}", "--lake", "{photos}/none"], "there is no lake"),
        (["embed", "{photos}", "--lake", "{lake}", "--model", "nobody"], "there is no model version nobody"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: list[str], told: str, lake: Lake, folder: Path, photos: Path
) -> None:
    result = run(*(argument.format(folder=folder, photos=photos, lake=lake.url) for argument in arguments))
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("facemill: ")
    assert told in line


def test_an_unreadable_photo_is_an_error_in_python_too(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        list(Embedder(folder).embed(["nobody.jpg"]))
