"""The contract that every engine keeps, and how near the packed one is to the shipped one."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from storage.errors import UsageError
from storage.records import FoundFace
from synthetic.identity import sample_identity
from synthetic.portrait import Portrait, draw
from tasks.faces.boxes import iou
from tasks.faces.detectors import ENGINES, DetectorSettings, load_detector
from tasks.faces.detectors.detector import in_picture, short_scale, working_scale
from tasks.faces.detectors.fast import FastMtcnn
from tasks.faces.detectors.on_gpu import GpuNetworks
from tasks.images.decode import decode

REPLAY = Path(__file__).parents[4].parent / "shared" / "data" / "replay"
Engine = Literal["packed", "shipped"]
PACKED, SHIPPED = DetectorSettings(engine="packed", exact=True), DetectorSettings(engine="shipped")
QUICK = DetectorSettings(min_face_px=100)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@cache
def portrait(number: int) -> Portrait:
    return draw(sample_identity(rng(1, number)), rng(2, number))


@cache
def photographs(num: int) -> list[Image.Image]:
    """Photographs of the replay world, spread over all that are to be accepted."""
    if not REPLAY.is_dir():
        pytest.skip("the photographs of ../shared/data/replay are not here")
    with (REPLAY / "responses.csv").open() as file:
        bodies = sorted({row["body"] for row in csv.DictReader(file) if row["expect"] == "accepted" and row["body"]})
    return [decode((REPLAY / "bodies" / body).read_bytes()) for body in bodies[7 :: len(bodies) // num][:num]]


def find(image: Image.Image, settings: DetectorSettings) -> tuple[FoundFace, ...]:
    return load_detector(settings).find(image)


# Of the scores and places of two engines; measured at most 2.4e-7 and 0.0003 px, with each instruction set of torch.
def assert_same(ours: tuple[FoundFace, ...], theirs: tuple[FoundFace, ...], tolerance_px: float = 0.01) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.box_xyxy == pytest.approx(other.box_xyxy, abs=tolerance_px)
        assert one.landmarks == pytest.approx(other.landmarks, abs=tolerance_px)


def test_settings_out_of_range_are_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match="min_face_px is 19, the least is 20"):
        DetectorSettings(min_face_px=19)
    with pytest.raises(UsageError, match="where it must be float32"):
        DetectorSettings(precision="float16")
    with pytest.raises(UsageError, match="no face detector 'magic'; there are: packed, shipped"):
        load_detector(DetectorSettings(engine="magic"))  # type: ignore[arg-type]  # invalid, as tested


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"detect.device is cuda, but torch finds no CUDA device; leave it at cpu"):
        load_detector(DetectorSettings(device="cuda"))


def test_a_picture_is_shrunk_only_as_far_as_its_size_asks() -> None:
    assert working_scale((500, 400), PACKED) == (1, 40)
    assert working_scale((2049, 400), PACKED) == (2, 20)
    assert working_scale((4097, 400), PACKED) == (3, 20)


def test_boxes_come_back_in_the_pictures_pixels_with_their_own_landmarks() -> None:
    points = [[2.0, 3.0], [8.0, 3.0], [5.0, 6.0], [3.0, 9.0], [7.0, 9.0]]
    face = in_picture([1.0, 2.0, 10.0, 12.0, 0.97], points, shrink=2)
    assert face == FoundFace((0, 2, 20, 24), 0.97, (4, 6, 16, 6, 10, 12, 6, 18, 14, 18))


@every_engine
@pytest.mark.parametrize("size", [(640, 480), (40, 40), (41, 600), (3000, 41), (8, 8), (1, 900), (1, 1)])
def test_a_blank_or_tiny_picture_shows_no_face(engine: Engine, size: tuple[int, int]) -> None:
    assert find(Image.new("RGB", size, "gray"), DetectorSettings(engine=engine)) == ()


@every_engine
def test_noise_of_any_shape_raises_nothing(engine: Engine) -> None:
    for size in ((60, 60), (57, 43), (400, 47), (44, 1200)):
        noise = Image.fromarray(rng(*size).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        find(noise, DetectorSettings(engine=engine, min_face_px=20))


@every_engine
def test_a_drawn_face_is_found_with_its_landmarks_in_order(engine: Engine) -> None:
    drawn = portrait(1)
    faces = find(drawn.image, DetectorSettings(engine=engine))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    face = max(faces, key=lambda face: iou(face.box_xyxy, drawn.box_xyxy))
    assert face.score >= 0.9
    assert iou(face.box_xyxy, drawn.box_xyxy) >= 0.4
    left, top, right, bottom = face.box_xyxy
    eye_x, eye_y, other_eye_x, _, _, nose_y, _, mouth_y, _, _ = face.landmarks
    assert left < eye_x < other_eye_x < right
    assert top < eye_y < nose_y < mouth_y < bottom


@every_engine
def test_a_huge_picture_is_looked_at_small_and_its_faces_come_back_large(engine: Engine) -> None:
    drawn = portrait(1)
    factor = 5000 / max(drawn.image.size)
    huge = drawn.image.resize((round(drawn.image.width * factor), round(drawn.image.height * factor)))
    left, top, right, bottom = (edge * factor for edge in drawn.box_xyxy)
    faces = find(huge, DetectorSettings(engine=engine, max_side_px=512))
    assert max(iou(face.box_xyxy, (left, top, right, bottom)) for face in faces) >= 0.4


@every_engine
def test_several_pictures_are_answered_in_their_order(engine: Engine) -> None:
    detector = load_detector(DetectorSettings(engine=engine, min_face_px=80))
    images = [portrait(1).image, Image.new("RGB", (30, 30)), portrait(2).image]
    assert detector.find_all(images) == [detector.find(image) for image in images]
    assert detector.find_all([]) == []


def test_the_packed_engine_finds_the_very_same() -> None:
    for number in range(3):
        image = portrait(number).image
        assert_same(find(image, PACKED), find(image, SHIPPED))


def test_the_smallest_faces_are_the_very_same_too() -> None:
    image = portrait(4).image.reduce(3)
    ours, theirs = (find(image, replace(settings, min_face_px=20)) for settings in (PACKED, SHIPPED))
    assert_same(ours, theirs)
    assert len(ours) > 0


def test_pictures_of_any_sizes_looked_at_together_give_what_each_gives_alone() -> None:
    settings = replace(PACKED, min_face_px=60)
    first, second = portrait(1).image, portrait(2).image
    images = [first, Image.new("RGB", (20, 9)), second.crop((0, 0, 301, 277)), Image.new("RGB", (700, 61)), second]
    # What a GPU does, done here by torch.
    for one in (settings, QUICK):
        together = FastMtcnn(one, GpuNetworks(one)).find_together(images)
        for image, faces in zip(images, together, strict=True):
            assert_same(faces, find(image, one))
        assert sum(map(len, together)) >= 2


def test_a_large_picture_of_large_faces_is_looked_at_small_unless_the_answer_must_be_exact() -> None:
    assert short_scale((1024, 700), QUICK) == (1, 100)
    assert short_scale((1025, 700), QUICK) == (2, 50)
    assert short_scale((1800, 1800), replace(QUICK, min_face_px=95)) == (1, 95)
    assert not replace(QUICK, min_face_px=95).takes_shortcuts
    assert not replace(QUICK, exact=True).takes_shortcuts
    assert short_scale((4000, 700), QUICK) == (2, 50)
    assert short_scale((5000, 700), QUICK) == working_scale((5000, 700), QUICK)


def test_shortcuts_move_a_face_by_little() -> None:
    for number in range(3):
        image = portrait(number).image
        ours, theirs = find(image, QUICK), find(image, replace(QUICK, exact=True))
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            assert iou(one.box_xyxy, other.box_xyxy) >= 0.8


@pytest.mark.data
@pytest.mark.slow
def test_in_photographs_shortcuts_change_hardly_a_count() -> None:
    shipped, same = replace(SHIPPED, min_face_px=100), 0
    for image in photographs(20):
        ours, theirs = ([face.score >= 0.9 for face in find(image, settings)] for settings in (QUICK, shipped))
        same += sum(ours) == sum(theirs)
    # One of these has a face of 0.926 and 157 px in a picture of 1.6 megapixels.
    assert same >= 19


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("min_face_px", [40, 100])
def test_in_photographs_the_packed_engine_finds_the_very_same(min_face_px: int) -> None:
    for image in photographs(20):
        ours, theirs = (find(image, replace(settings, min_face_px=min_face_px)) for settings in (PACKED, SHIPPED))
        assert_same(ours, theirs)


@pytest.mark.data
def test_landmarks_belong_to_the_box_beside_them() -> None:
    left, right = photographs(20)[:2]
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "gray")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    faces = [face for face in find(both, PACKED) if face.score >= 0.9]
    assert len(faces) >= 2
    for face in faces:
        x0, y0, x1, y1 = face.box_xyxy
        assert all(x0 < x < x1 for x in face.landmarks[::2])
        assert all(y0 < y < y1 for y in face.landmarks[1::2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_a_graphics_card_finds_the_same_faces(precision: Any) -> None:
    images = [portrait(number).image for number in range(3)]
    found = load_detector(replace(PACKED, device="cuda", precision=precision)).find_all(images)
    for image, faces in zip(images, found, strict=True):
        for face in find(image, PACKED):
            assert face.score < 0.9 or max(iou(face.box_xyxy, other.box_xyxy) for other in faces) >= 0.8
