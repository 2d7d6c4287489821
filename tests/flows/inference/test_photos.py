"""From a photo to the face a model is shown."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flows.inference.photos import AlignedFace, align_photo
from storage.records import Reason
from synthetic.identity import sample_identity
from synthetic.portrait import Portrait, draw


@cache
def portrait(number: int) -> Portrait:
    return draw(sample_identity(np.random.default_rng((1, number))), np.random.default_rng((2, number)))


def jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def aligned(image: Image.Image, image_px: int = 64) -> AlignedFace:
    face = align_photo(jpeg(image), image_px)
    assert isinstance(face, AlignedFace)
    return face


def side_by_side(*images: Image.Image) -> Image.Image:
    photo = Image.new("RGB", (sum(one.width for one in images), max(one.height for one in images)), "gray")
    left = 0
    for one in images:
        photo.paste(one, (left, (photo.height - one.height) // 2))
        left += one.width
    return photo


def test_a_portrait_gives_its_face_laid_onto_the_square() -> None:
    face = aligned(portrait(0).image)
    assert face.image.shape == (64, 64, 3)
    assert face.image.dtype == np.uint8
    assert (face.num_faces, face.is_alone) == (1, True)
    assert face.score > 0.9


def test_a_turned_photo_gives_nearly_the_same_face() -> None:
    photo, inner = portrait(3).image, np.s_[12:52, 12:52]
    upright = aligned(photo).image[inner].astype(int)
    turned = aligned(photo.rotate(12, Image.Resampling.BICUBIC, fillcolor="gray")).image[inner].astype(int)
    left_turned = np.asarray(Image.fromarray(aligned(photo).image).rotate(12))[inner].astype(int)
    assert np.abs(turned - upright).mean() < np.abs(left_turned - upright).mean() / 3


def test_of_several_people_the_central_one_is_taken_and_it_is_said_that_there_are_more() -> None:
    left, middle, right = (portrait(number).image for number in range(3))
    face = aligned(side_by_side(left, middle, right))
    assert face.num_faces == 3
    assert not face.is_alone
    assert left.width < face.box_xyxy[0] < face.box_xyxy[2] < left.width + middle.width


def test_a_large_face_counts_before_a_small_one_in_the_middle() -> None:
    large = portrait(0).image
    small = large.resize((large.width // 4, large.height // 4))
    face = aligned(side_by_side(large, small, Image.new("RGB", large.size, "gray")))
    assert face.box_xyxy[2] < large.width
    assert face.is_alone


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (jpeg(Image.new("RGB", (300, 200), "gray")), Reason.NO_FACE),
        (jpeg(Image.new("RGB", (4, 4))), Reason.NO_FACE),
        (b"\xff\xd8\xffnothing", Reason.BROKEN_IMAGE),
        (b"", Reason.BROKEN_IMAGE),
    ],
)
def test_what_shows_no_face_and_what_is_no_picture_are_told_apart(data: bytes, reason: Reason) -> None:
    assert align_photo(data, 64) == reason
