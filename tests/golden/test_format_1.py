"""A lake of format 1, written by the code of commit 9e3fbf5 (`make.py`), is read, checked and published from."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import make_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model.configuration.config import PRESETS, TrainConfig, model_version_id
from storage.files.lake import Lake
from storage.records import bytes_digest
from storage.tables.parquet import read_stamp
from storage.versions.datasets import all_versions, open_dataset
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.find_duplicates import read_verdicts
from tasks.dataset.publish_request import Request, version_id
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import comparison, planned_lines, read_faces, stored_lines
from tasks.dataset.split import SplitRules
from tasks.faces.crop_shard import uncropped
from tasks.faces.detect_shard import accepted_images, is_detected
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch.ledger import image_stems, read_ledger
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning, clean_stamp, faces_to_score
from tasks.maintenance.fsck.inspect_lake import inspect, jobs

SOURCE, STEM = "synthetic", "0000-0000-4ba719"
# Ids and stamps as the old code wrote them. A change here renames the datasets of every lake or crops it anew.
VERSIONS = {"bbox": "4defcc3c5859dfeb", "mtcnn": "e5773088fe88e6f2"}
DETECTOR_STAMP = "587dfdf6c960bcf8"
CROP_STAMPS = {"bbox": "db16680f63b0373d", "mtcnn": "431944a5c16c8ebb"}
DEDUPE_STAMP = "78409008116a3175"
MODEL_ID, CLEAN_STAMP, CLEANED_VERSION = "4d0b190bdfec5636", "a1452df24ea7ee0d", "153e3b3e2a1b182d"
SELECT = SelectRules(min_face_px=40)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    with tarfile.open(Path(__file__).parent / "format-1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Lake(tmp_path / "lake")


def request(method: str, select: SelectRules = SELECT, split: SplitRules = SplitRules()) -> Request:
    return Request(name=f"faces-{method}", source=SOURCE, method=method, select=select, split=split)


def later(settings: type, /, **values: object) -> Callable[..., Any]:
    """A settings class as a later release may have it: with one field more, which has a default."""
    return partial(
        make_dataclass(settings.__name__, [("added_later", int, 0)], bases=(settings,), frozen=True), **values
    )


def contents(lake: Lake) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(lake.root).rglob("*") if path.is_file()}


def test_check_finds_nothing(lake: Lake) -> None:
    assert inspect(jobs(lake)) == []


def test_reading_finds_every_row_and_writes_nothing(lake: Lake) -> None:
    before = contents(lake)
    lines = planned_lines(lake, SOURCE)
    attempts = read_ledger(lake, SOURCE)
    assert (len(lines), len(attempts)) == (32, 32)
    assert Counter(attempts["outcome"].to_pylist()) == {"accepted": 19, "rejected": 13}
    assert len(accepted_images(lake, SOURCE, STEM)) == 19
    assert Counter(read_verdicts(lake, SOURCE)["outcome"].to_pylist()) == {"accepted": 17, "rejected": 2}
    faces = {method: read_faces(lake, SOURCE, method) for method in (*VERSIONS, "agree")}
    assert {method: table["outcome"].to_pylist().count("accepted") for method, table in faces.items()} == {
        "bbox": 19,
        "mtcnn": 17,
        "agree": 16,
    }
    assert {str(one) for one in all_versions(lake)} == {f"faces-{name}@{version}" for name, version in VERSIONS.items()}
    assert contents(lake) == before


@pytest.mark.parametrize(("method", "num_samples"), [("bbox", 13), ("mtcnn", 11)])
def test_every_sample_of_a_version_is_read_and_has_its_digest(lake: Lake, method: str, num_samples: int) -> None:
    dataset = open_dataset(lake, f"faces-{method}")
    rows = dataset.index().to_pylist()
    assert len(rows) == num_samples == dataset.manifest["num_samples"]
    for row in rows:
        assert bytes_digest(dataset.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_outcomes_under_their_former_name_are_read(lake: Lake) -> None:
    for dataset in all_versions(lake):
        assert dataset.outcomes_path.endswith("/fates.parquet")
        assert len(dataset.outcomes()) == 32
        samples = dataset.outcomes(["stage"])["stage"].to_pylist().count("sample")
        assert samples == dataset.manifest["num_samples"]


@pytest.mark.parametrize("method", VERSIONS)
def test_publishing_finds_the_version_that_is_there(lake: Lake, method: str) -> None:
    published = publish_source(lake, request(method))
    assert (published.dataset.version, published.is_new) == (VERSIONS[method], False)


@pytest.mark.parametrize("method", VERSIONS)
def test_publishing_again_makes_the_same_version_with_the_same_bytes_in_shared_shards(lake: Lake, method: str) -> None:
    folder = lake.dataset(f"faces-{method}", VERSIONS[method])
    before = open_dataset(lake, f"faces-{method}").index()
    shards = sorted(lake.read(f"{folder}/{name}") for name in lake.names(folder) if name.endswith(".tar"))
    lake.remove(folder)
    lake.remove("unique")

    published = publish_source(lake, request(method))
    after = published.dataset
    assert (after.version, published.is_new) == (VERSIONS[method], True)
    assert sorted(lake.read(shard) for shard in after.shards()) == shards
    assert after.index().drop_columns(["shard"]).equals(before.drop_columns(["shard"]))
    assert lake.names("unique/synthetic") == [f"{DEDUPE_STAMP}.parquet"]
    assert inspect(jobs(lake)) == []


def test_the_stamps_are_those_of_today_s_settings(lake: Lake) -> None:
    lines = LinesByKey(planned_lines(lake, SOURCE))
    assert read_stamp(lake, lake.detections(SOURCE, STEM)) == DETECTOR_STAMP
    for method, stamp in CROP_STAMPS.items():
        assert read_stamp(lake, f"{lake.faces(method, SOURCE, STEM)}.parquet") == stamp
    for stem in image_stems(lake, SOURCE):
        assert is_detected(lake, SOURCE, stem, DetectorSettings())
        assert not uncropped(lake, SOURCE, stem, lines, list(VERSIONS), settings=CropSettings())


def test_a_field_added_to_the_rules_renames_a_dataset_only_off_its_default(lake: Lake) -> None:
    select, split = later(SelectRules, min_face_px=40), later(SplitRules)
    unchanged = publish_source(lake, request("bbox", select(), split()))
    assert (unchanged.dataset.version, unchanged.is_new) == (VERSIONS["bbox"], False)
    changed = [
        publish_source(lake, request("bbox", select(added_later=1), split())),
        publish_source(lake, request("bbox", select(), split(added_later=1))),
    ]
    assert len({VERSIONS["bbox"], *(one.dataset.version for one in changed)}) == 3
    assert changed[0].dataset.manifest["select"]["added_later"] == 1
    assert inspect(jobs(lake)) == []


def test_a_field_added_to_the_crop_or_the_detector_makes_work_only_off_its_default(lake: Lake) -> None:
    lines, crop, detector = LinesByKey(planned_lines(lake, SOURCE)), later(CropSettings), later(DetectorSettings)
    assert is_detected(lake, SOURCE, STEM, detector())
    assert not is_detected(lake, SOURCE, STEM, detector(added_later=1))
    assert not uncropped(lake, SOURCE, STEM, lines, ["bbox"], settings=crop())
    assert uncropped(lake, SOURCE, STEM, lines, ["bbox"], settings=crop(added_later=1))


def test_a_field_added_to_what_compares_cleans_or_trains_counts_only_off_its_default(lake: Lake) -> None:
    lines, dataset = stored_lines(lake, SOURCE), open_dataset(lake, "faces-mtcnn")
    faces = faces_to_score(read_faces(lake, SOURCE, "mtcnn"), read_verdicts(lake, SOURCE))
    assert clean_stamp("embedder@0123", faces) == CLEAN_STAMP
    assert clean_stamp("embedder@0123", faces, later(CleanRules)()) == CLEAN_STAMP
    assert clean_stamp("embedder@0123", faces, later(CleanRules)(added_later=1)) != CLEAN_STAMP

    smoke = later(TrainConfig, **PRESETS["smoke"].recipe())
    assert model_version_id(dataset, PRESETS["smoke"]) == model_version_id(dataset, smoke()) == MODEL_ID
    assert model_version_id(dataset, smoke(added_later=1)) != MODEL_ID

    cleaning = later(Cleaning, model="embedder@0123", wrong_person_score=0.5)
    ids = [
        version_id(Request("a", SOURCE, "mtcnn", cleaning=one), dataset.index())
        for one in (Cleaning("embedder@0123", 0.5), cleaning(), cleaning(added_later=1))
    ]
    assert ids[:2] == [CLEANED_VERSION] * 2 != ids[1:]

    dedupe = later(DedupeRules)
    assert comparison(lake, SOURCE, lines, dedupe()).stamp == DEDUPE_STAMP
    assert comparison(lake, SOURCE, lines, dedupe(added_later=1)).stamp != DEDUPE_STAMP
