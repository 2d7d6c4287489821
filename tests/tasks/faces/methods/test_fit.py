"""Boxes of 2014 in the pictures of today."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from storage.records import Box, Detection, Fit, FoundFace, Reason
from tasks.faces.methods import CropSettings, Picture, Subject
from tasks.faces.methods.bbox import by_listed_box
from tasks.faces.methods.fit import turned_with
from tasks.images.decode import decode

SETTINGS = CropSettings()
FACE = FoundFace((250, 150, 350, 280), 0.99, (275, 190, 325, 190, 300, 215, 280, 240, 320, 240))
OTHER = FoundFace((20, 20, 100, 120), 0.95, (40, 50, 80, 50, 60, 70, 45, 95, 75, 95))
# Square, around the face's middle, and larger than the detected box, as listed boxes are.
LISTED: Box = (232, 147, 368, 283)


def picture(*faces: FoundFace, orientation: int = 1, size: tuple[int, int] = (600, 400)) -> Picture:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return Picture(Detection(b"k" * 16, b"d" * 32, *size, faces), file.getvalue)


def judged(box: Box, seen: Picture, settings: CropSettings = SETTINGS) -> Subject:
    subject = by_listed_box(box, seen, settings)
    assert isinstance(subject, Subject), subject
    return subject


def times(box: Box, scale: float) -> Box:
    left, top, right, bottom = (value * scale for value in box)
    return left, top, right, bottom


def test_a_box_that_fits_as_listed_is_left_as_it_is() -> None:
    subject = judged(LISTED, picture(FACE, OTHER))
    assert (subject.box_xyxy, subject.fit, subject.found) == (LISTED, Fit.AS_LISTED, FACE)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.6, 2.0, 4.5])
def test_a_box_listed_for_another_size_is_brought_back_by_one_number(scale: float) -> None:
    subject = judged(times(LISTED, scale), picture(FACE))
    assert (subject.fit, subject.found) == (Fit.RESCALED, FACE)
    assert subject.box_xyxy == pytest.approx(LISTED, abs=2)


def test_a_rescale_needs_the_place_and_the_size_to_fit() -> None:
    on_the_ray_but_small = (120.0, 85.0, 130.0, 95.0)
    of_the_size_but_beside = (100.0, 10.0, 168.0, 78.0)
    for box in (on_the_ray_but_small, of_the_size_but_beside):
        assert judged(box, picture(FACE)).fit is None


def test_a_rescale_is_not_believed_among_several_people_nor_beyond_five_times() -> None:
    assert judged(times(LISTED, 0.5), picture(FACE, OTHER)).fit is None
    assert judged(times(LISTED, 0.19), picture(FACE)).fit is None
    assert by_listed_box(times(LISTED, 5.1), picture(FACE), SETTINGS) is Reason.BOX_OUT_OF_IMAGE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_stored_pixels_is_turned_as_decoding_turns_the_picture(orientation: int) -> None:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[4:10, 20:50] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    seen = decode(file.getvalue())
    left, top, right, bottom = (int(v) for v in turned_with(orientation, (20, 4, 50, 10), *seen.size))
    shown = np.asarray(seen)[..., 0]
    assert shown[top:bottom, left:right].min() == 255
    assert shown.sum() == 255 * 6 * 30


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_box_drawn_on_the_unrotated_picture_finds_its_face(orientation: int) -> None:
    # Where the stored pixels had the face: turned back by the inverse, which is 8 for 6 and itself for all others.
    back = {6: 8, 8: 6}.get(orientation, orientation)
    face = FoundFace((430, 30, 530, 160), 0.99, (455, 70, 505, 70, 480, 95, 460, 120, 500, 120))
    listed = (412, 27, 548, 163)
    stored = turned_with(back, listed, *((400, 600) if orientation >= 5 else (600, 400)))
    subject = judged(stored, picture(face, FACE, orientation=orientation))
    assert (subject.fit, subject.found) == (Fit.UNROTATED, face)
    assert subject.box_xyxy == listed


def test_a_file_without_exif_is_not_turned() -> None:
    assert judged((20, 300, 100, 380), picture(FACE)).fit is None
    unreadable = Picture(Detection(b"", b"", 600, 400, (FACE,)), lambda: b"no picture")
    assert unreadable.orientation == 1
