from __future__ import annotations

import csv
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from storage.errors import LakeError, UsageError
from storage.lake import Lake
from storage.records import DETECTIONS, FoundFace, Reason, url_key
from storage.tables import read_table
from tasks.boxes import iou
from tasks.decode import decode
from tasks.detect import (
    DetectorSettings,
    ShardSummary,
    detect,
    detect_shard,
    in_picture,
    is_detected,
    load_detector,
    read_detections,
    working_scale,
)
from tests.tasks.image_shards import SOURCE, STEM, png, write_images

ROOT = Path(__file__).parents[2]
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

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        return ()


def test_what_cannot_be_decoded_is_a_detection_with_a_reason() -> None:
    broken = detect(b"\xff\xd8\xffnothing", b"k" * 16, b"d" * 32, Nobody())
    assert (broken.reason, broken.faces, broken.width) == (Reason.BROKEN_IMAGE, (), 0)
    whole = detect(png(Image.new("RGB", (30, 20))), b"k" * 16, b"d" * 32, Nobody())
    assert (whole.reason, whole.width, whole.height) == (None, 30, 20)


def test_the_smallest_face_measures_20_px_to_the_networks_and_large_pictures_are_bounded() -> None:
    assert working_scale((500, 400), SETTINGS) == (2, 20)
    assert working_scale((4096, 400), SETTINGS) == (2, 20)
    assert working_scale((4097, 400), SETTINGS) == (3, 20)
    assert working_scale((500, 400), DetectorSettings(min_face_px=30)) == (1, 30)
    assert working_scale((500, 400), DetectorSettings(min_face_px=90)) == (4, 22.5)


def test_boxes_come_back_in_the_pictures_pixels_with_their_own_landmarks() -> None:
    points = [[2.0, 3.0], [8.0, 3.0], [5.0, 6.0], [3.0, 9.0], [7.0, 9.0]]
    face = in_picture([1.0, 2.0, 10.0, 12.0, 0.97], points, shrink=2)
    assert face == FoundFace((0, 2, 20, 24), 0.97, (4, 6, 16, 6, 10, 12, 6, 18, 14, 18))


def test_settings_out_of_range_are_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match="min_face_px is 19, the least is 20"):
        DetectorSettings(min_face_px=19)
    with pytest.raises(UsageError, match="no face detector 'magic'; there are: facenet-pytorch"):
        load_detector(DetectorSettings(engine="magic"))


def test_a_summary_adds_up() -> None:
    summary = ShardSummary.of_reasons([None, Reason.NO_FACE, None, Reason.NO_BOX, Reason.NO_FACE])
    assert summary == ShardSummary(5, 2, {"no_box": 1, "no_face": 2})


def test_torch_is_loaded_with_the_first_picture_only() -> None:
    code = "import sys, tasks.detect, tasks.crop; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("size", [(640, 480), (40, 40), (41, 600), (8, 8), (1, 900), (1, 1)])
def test_a_blank_or_tiny_picture_shows_no_face(size: tuple[int, int]) -> None:
    assert load_detector(SETTINGS).find(Image.new("RGB", size, "gray")) == ()


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


@pytest.mark.data
def test_the_one_face_is_found_wherever_the_picture_is_shrunk_or_turned() -> None:
    detector, finer = load_detector(SETTINGS), load_detector(DetectorSettings(min_face_px=20))
    pictures = [decode(data) for data in photographs(8)]
    agreeing = 0
    for picture in pictures:
        faces, again = detector.find(picture), finer.find(picture)
        assert faces and faces[0].score >= 0.9
        assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
        agreeing += max(iou(faces[0].box_xyxy, other.box_xyxy) for other in again) >= 0.8
    assert agreeing >= 7


@pytest.mark.data
def test_landmarks_belong_to_the_box_beside_them() -> None:
    left, right = (decode(data) for data in photographs(2))
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "gray")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    faces = [face for face in load_detector(SETTINGS).find(both) if face.score >= 0.9]
    assert len(faces) >= 2
    for face in faces:
        x0, y0, x1, y1 = face.box_xyxy
        eye_x, eye_y, other_eye_x, _, _, nose_y, _, mouth_y, _, _ = face.landmarks
        assert x0 < eye_x < other_eye_x < x1
        assert y0 < eye_y < nose_y < mouth_y < y1


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
