"""From a photo to the input of a model: detect the face as in the pipeline, and align it as in training.

Kept out of `tasks` and `model` because it needs the detector of the former and the template of the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import dist

import numpy as np
from numpy.typing import NDArray

from model.embedding.align import affine_from_landmarks, warp
from storage.records import Box, Detection, FoundFace, Reason
from tasks.faces.detectors import DetectorSettings, load_detector
from tasks.faces.methods import CropSettings
from tasks.faces.methods.subject import Subject, one_clear_person, shorter_side, sure_faces
from tasks.images.decode import UndecodableImage, decode


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """The main face of a photo.

    `image` is uint8 [px, px, 3] RGB, its landmarks aligned to the template. The box is in pixels of the photo with its
    EXIF orientation applied. `num_faces` counts all detected faces. `is_alone` is true if no other face is nearly as
    large.
    """

    image: NDArray[np.uint8]
    box_xyxy: Box
    score: float
    num_faces: int
    is_alone: bool


def align_photo(
    data: bytes,
    image_px: int,
    *,
    detector: DetectorSettings = DetectorSettings(),
    rules: CropSettings = CropSettings(),
) -> AlignedFace | Reason:
    """Detect and align the main face of an image file: the clearly largest one, or else the most central one.

    Args:
        image_px: side of the model's square input.
        rules: which faces count (`min_score`, `second_face_ratio`).

    Returns:
        The aligned face, `Reason.NO_FACE`, or why the file cannot be decoded: `Reason.BROKEN_IMAGE`,
        `Reason.TOO_MANY_PIXELS` or `Reason.TOO_COSTLY`.
    """
    try:
        photo = decode(data)
    except UndecodableImage as error:
        return error.reason
    found = load_detector(detector).find(photo)
    faces = sure_faces(Detection(b"", b"", *photo.size, found), rules)
    if not faces:
        return Reason.NO_FACE
    clear = one_clear_person(faces, None, rules)
    main = clear.found if isinstance(clear, Subject) and clear.found else _central(faces, photo.size)
    image = warp(photo, affine_from_landmarks(main.landmarks, image_px), image_px)
    return AlignedFace(image, main.box_xyxy, main.score, len(faces), isinstance(clear, Subject))


def _central(faces: list[FoundFace], size: tuple[int, int]) -> FoundFace:
    """The face with the largest area minus twice the squared distance from the centre: facenet's rule for LFW."""

    def weight(face: FoundFace) -> float:
        left, top, right, bottom = face.box_xyxy
        centre = (left + right) / 2, (top + bottom) / 2
        return shorter_side(face.box_xyxy) ** 2 - 2 * dist(centre, (size[0] / 2, size[1] / 2)) ** 2

    return max(faces, key=weight)
