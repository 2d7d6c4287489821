"""What every form of export promises, and that others read each of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from storage.errors import UsageError
from storage.records import Takedown, TakedownKind, bytes_digest, url_key
from storage.versions.datasets import DatasetVersion
from storage.versions.takedowns import record
from tasks.dataset.export_version import export
from tasks.dataset.exports import EXPORTS, hf_parquet
from tests.tasks.builders import NOW
from tests.tasks.dataset.test_publish_version import NUM_PEOPLE, ROWS, make

every_form = pytest.mark.parametrize("form", EXPORTS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    return make(tmp_path_factory.mktemp("lake")).publish().dataset


def pictures(folder: Path) -> list[bytes]:
    """The digests of all pictures in an export of either form."""
    found = [path.read_bytes() for path in folder.glob("*/*/*.jpg")]
    for path in folder.glob("data/*.parquet"):
        found += [image["bytes"] for image in pq.read_table(path)["image"].to_pylist()]
    return sorted(bytes_digest(data) for data in found)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@every_form
def test_every_picture_is_there_once_byte_for_byte(dataset, form, tmp_path):
    done: list[int] = []
    told = export(dataset, form, tmp_path / "out", on_progress=done.append)

    assert pictures(tmp_path / "out") == sorted(dataset.index(["crop_digest"])["crop_digest"].to_pylist())
    assert (told["samples"], told["identities"], done[-1]) == (len(ROWS), NUM_PEOPLE, len(ROWS))
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == dataset.manifest
    assert names(tmp_path) == {"out"}


@every_form
def test_one_split_can_be_had_alone(dataset, form, tmp_path):
    told = export(dataset, form, tmp_path / "out", split="val")

    assert told["samples"] == dataset.manifest["splits"]["val"]["samples"] == len(pictures(tmp_path / "out"))
    with pytest.raises(UsageError, match="no split 'dev'; there are: test, train, val"):
        export(dataset, form, tmp_path / "other", split="dev")
    assert names(tmp_path) == {"out"}


@every_form
def test_a_folder_that_holds_something_is_left_alone(dataset, form, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        export(dataset, form, tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty"):
        export(dataset, form, tmp_path / "out" / "mine")

    assert names(tmp_path / "out") == {"mine"}


@every_form
def test_an_export_that_fails_leaves_nothing_and_what_a_killed_one_left_goes(dataset, form, tmp_path, monkeypatch):
    def die(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr("tasks.dataset.export_version.shutil.rmtree", lambda *_, **__: None)
        export(dataset, form, tmp_path / "out", on_progress=die)
    assert names(tmp_path) == {".tmp-out"}
    with pytest.raises(KeyboardInterrupt):
        export(dataset, form, tmp_path / "out", on_progress=die)
    assert names(tmp_path) == set()

    export(dataset, form, tmp_path / "out")
    assert len(pictures(tmp_path / "out")) == len(ROWS)


@every_form
def test_what_must_be_forgotten_is_not_handed_on_though_it_has_not_been_purged(form, tmp_path):
    made = make(tmp_path / "lake")
    dataset, url = made.publish().dataset, ROWS[0][2]
    record(made.lake, [Takedown(TakedownKind.URL, url_key(url), None, NOW, "")])
    told = export(dataset, form, tmp_path / "out")

    assert told["samples"] == len(ROWS) - 1
    whole = {row["crop_digest"]: row["url"] for row in dataset.whole_index().to_pylist()}
    assert set(pictures(tmp_path / "out")) == {crop for crop, shown in whole.items() if shown != url}


def test_an_unknown_form_names_those_that_there_are(dataset, tmp_path):
    with pytest.raises(UsageError, match="choose from imagefolder, hf-parquet"):
        export(dataset, "magic", tmp_path / "out")


def test_torchvision_reads_an_imagefolder(dataset, tmp_path):
    from torchvision.datasets import ImageFolder

    export(dataset, "imagefolder", tmp_path / "out")
    index = dataset.index(["identity", "split"]).to_pylist()
    faces = ImageFolder(str(tmp_path / "out" / "train"))

    assert faces.classes == sorted({row["identity"] for row in index if row["split"] == "train"})
    assert len(faces) == sum(row["split"] == "train" for row in index)
    assert faces[0][0].size == (64, 64)


def test_the_metadata_of_an_imagefolder_names_every_picture(dataset, tmp_path):
    export(dataset, "imagefolder", tmp_path / "out", split="test")
    folder = tmp_path / "out" / "test"
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert {row["file_name"] for row in rows} == {str(path.relative_to(folder)) for path in folder.glob("*/*.jpg")}
    assert {(row["identity"], int(row["line"]), row["url"]) for row in rows} <= {row[:3] for row in ROWS}
    assert {row["file_name"].split("/")[0] == row["identity"] for row in rows} == {True}


def test_a_name_that_cannot_be_a_folder_s_is_refused(dataset, tmp_path):
    index = dataset.index()
    strange = index.set_column(index.column_names.index("identity"), "identity", pa.array(["../up"] * len(index)))
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=r"'\.\./up' cannot be the name of a folder"):
        EXPORTS["imagefolder"](dataset, strange, tmp_path / "out", lambda done: None)

    assert names(tmp_path) == {"out"}


def test_hugging_face_finds_an_image_and_a_label_with_names(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(hf_parquet, "_ROWS_PER_FILE", 5)
    export(dataset, "hf-parquet", tmp_path / "out")
    people = sorted({row[0] for row in ROWS})
    files = sorted((tmp_path / "out" / "data").iterdir())
    table = pq.read_table(files[-1])
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]

    num_files = -(-dataset.manifest["splits"]["train"]["samples"] // 5)
    assert f"train-00000-of-{num_files:05d}.parquet" in {path.name for path in files}
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"_type": "ClassLabel", "names": people}
    assert list(features) == table.column_names
    assert {field.nullable for field in table.schema} == {True}
    index = {row["sample"]: row for row in dataset.index(["sample", "identity", "width"]).to_pylist()}
    for row in table.to_pylist():
        assert people[row["label"]] == index[row["sample"]]["identity"]
        assert Image.open(io.BytesIO(row["image"]["bytes"])).width == index[row["sample"]]["width"]
