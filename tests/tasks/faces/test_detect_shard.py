from __future__ import annotations

import csv
import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import DETECTIONS, FoundFace, Reason, url_key
from storage.tables.parquet import read_table
from synthetic.identity import sample_identity
from synthetic.portrait import draw
from tasks.faces.crop_shard import crop_shard
from tasks.faces.detect_shard import (
    ShardSummary,
    detect,
    detect_all,
    detect_shard,
    is_detected,
    read_detections,
)
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tests.tasks.image_shards import SOURCE, STEM, link_lines, png, write_images

ROOT = Path(__file__).parents[3]
REPLAY = ROOT.parent / "shared" / "data" / "replay"
SETTINGS = DetectorSettings()


def photographs(num: int) -> list[bytes]:
    """Photographs of the replay world that show exactly one face, the smallest files first."""
    if not REPLAY.is_dir():
        pytest.skip("the photographs of ../shared/data/replay are not here")
    with (REPLAY / "responses.csv").open() as file:
        bodies = {row["body"] for row in csv.DictReader(file) if row["expect"] == "accepted" and row["faces"] == "1"}
    paths = sorted((REPLAY / "bodies" / body for body in bodies), key=lambda path: (path.stat().st_size, path.name))
    return [path.read_bytes() for path in paths[50 : 50 + num]]


class Nobody:
    """Finds no face."""

    batch = 1

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        return ()

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        return [self.find(image) for image in images]


class Measure(Nobody):
    """Finds one face, as large as the picture."""

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        return (FoundFace((0.0, 0.0, float(image.width), float(image.height)), 0.99, (0.0,) * 10),)


def test_what_cannot_be_decoded_is_a_detection_with_a_reason() -> None:
    broken = detect(b"\xff\xd8\xffnothing", b"k" * 16, b"d" * 32, Nobody())
    assert (broken.reason, broken.faces, broken.width) == (Reason.BROKEN_IMAGE, (), 0)
    whole = detect(png(Image.new("RGB", (30, 20))), b"k" * 16, b"d" * 32, Nobody())
    assert (whole.reason, whole.width, whole.height) == (None, 30, 20)


def test_each_picture_of_a_batch_gets_its_own_faces_whichever_of_them_is_broken() -> None:
    sizes = [(30, 20), (50, 40), (70, 60)]
    pictures = [(png(Image.new("RGB", size)), bytes([at]) * 16, b"d" * 32) for at, size in enumerate(sizes)]
    pictures.insert(1, (b"\xff\xd8\xffnothing", b"k" * 16, b"d" * 32))
    detections = detect_all(pictures, Measure())
    assert [one.key for one in detections] == [key for _, key, _ in pictures]
    assert [one.reason for one in detections] == [None, Reason.BROKEN_IMAGE, None, None]
    boxes = [face.box_xyxy[2:] for one in detections for face in one.faces]
    assert boxes == sizes


def test_a_summary_adds_up() -> None:
    summary = ShardSummary.of_reasons([None, Reason.NO_FACE, None, Reason.NO_BOX, Reason.NO_FACE])
    assert summary == ShardSummary(5, 2, {"no_box": 1, "no_face": 2})


def test_torch_is_loaded_with_the_first_picture_only() -> None:
    code = "import sys, tasks.faces.detect_shard, tasks.faces.crop_shard; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_accepted_picture_has_its_row_in_the_order_of_keys(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    blank = png(Image.new("RGB", (90, 70)))
    pictures = {f"http://a.example/{n}": blank for n in range(20)}
    write_images(lake, {**pictures, "http://a.example/broken": blank[:60], "http://a.example/gone": None})
    assert not is_detected(lake, SOURCE, STEM, SETTINGS)
    seen: list[int] = []
    summary = detect_shard(lake, SOURCE, STEM, SETTINGS, on_progress=seen.append)
    assert summary == ShardSummary(21, 20, {"broken_image": 1})
    assert seen == [16, 5]
    table = read_table(lake, lake.detections(SOURCE, STEM))
    assert table.schema.equals(DETECTIONS)
    assert table["key"].to_pylist() == sorted(table["key"].to_pylist())
    detections = read_detections(lake, SOURCE, STEM)
    assert detections[url_key("http://a.example/3")].width == 90
    assert detections[url_key("http://a.example/broken")].reason is Reason.BROKEN_IMAGE


def test_a_change_of_settings_makes_detections_out_of_date(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_images(lake, {"http://a.example/": None})
    assert detect_shard(lake, SOURCE, STEM, SETTINGS) == ShardSummary(0, 0, {})
    assert is_detected(lake, SOURCE, STEM, SETTINGS)
    assert not is_detected(lake, SOURCE, STEM, DetectorSettings(min_face_px=60))


def test_a_shard_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LakeError):
        detect_shard(Lake(tmp_path), SOURCE, STEM, SETTINGS)


def test_other_crops_of_the_same_pictures_run_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, url = Lake(tmp_path), "http://a.example/1"
    portrait = draw(sample_identity(np.random.default_rng(1)), np.random.default_rng(2))
    write_images(lake, {url: png(portrait.image)})
    lines = link_lines(("Ann_Lee", 1, url, portrait.box_xyxy))
    detect_shard(lake, SOURCE, STEM, SETTINGS)

    def fail(settings: DetectorSettings) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr("tasks.faces.detect_shard.load_detector", fail)
    for method in ("bbox", "mtcnn"):
        for rules in (CropSettings(), CropSettings(margin=0.1, min_face_px=90), CropSettings(second_face_ratio=0.1)):
            assert is_detected(lake, SOURCE, STEM, SETTINGS)
            assert crop_shard(lake, SOURCE, STEM, LinesByKey(lines), [method], settings=rules)[method].num_out == 1


@pytest.mark.slow
@pytest.mark.data
def test_processes_find_the_very_same_as_one_thread(tmp_path: Path) -> None:
    data = photographs(20)
    tables = []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for name, workers in (("alone", None), ("shared", pool)):
            lake = Lake(tmp_path / name)
            write_images(lake, {f"http://a.example/{i}": one for i, one in enumerate(data)})
            assert detect_shard(lake, SOURCE, STEM, SETTINGS, pool=workers).num_out == 20
            tables.append(read_table(lake, lake.detections(SOURCE, STEM)))
    assert tables[0].equals(tables[1])
