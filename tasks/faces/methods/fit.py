"""Verify a listed box by a detected face: as listed, in the unrotated picture, or rescaled.

Measured on the replay world (`bench/boxes.py`): of the boxes that frame a face .997 fit, of the others none; a
box of another picture fits by chance in .08, and in .07 more after rescaling; a good box listed for another picture
size fits after rescaling in .92. `fit` is stored, so that a dataset can exclude rescaled boxes.
"""

from __future__ import annotations

import math

from storage.records import Box, Fit, FoundFace
from tasks.faces.boxes import iou
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.subject import Picture, Subject, sure_faces

# The side of a listed box, which is square, over the root of the area of the MTCNN box of the same face: the median of
# 1012 boxes of the replay world (5% 1.12, 95% 1.29).
_LISTED_SIDE = 1.2


def listed_faces(picture: Picture, settings: CropSettings) -> list[FoundFace]:
    """The detected faces that can confirm a box."""
    return [face for face in picture.detection.faces if face.score >= settings.min_listed_score]


def as_listed(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box as listed, if its IoU with a detected face is high enough."""
    return _confirmed(box, listed_faces(picture, settings), Fit.AS_LISTED, settings.same_face_iou)


def unrotated(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box rotated by the EXIF orientation, if a face confirms it there."""
    if picture.orientation == 1:
        return None
    seen = picture.detection
    turned = turned_with(picture.orientation, box, seen.width, seen.height)
    return _confirmed(turned, sure_faces(seen, settings), Fit.UNROTATED, settings.same_face_iou)


def rescaled(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box multiplied by one number, if it then fits the only face of the picture.

    With several faces, too many wrong boxes would fit one of them. The number is the least-squares solution for the
    centre (two equations) and the side (one): a wrong box may satisfy one of the three, rarely all.
    """
    faces = sure_faces(picture.detection, settings)
    if len(faces) != 1:
        return None
    scale = _scale_onto(box, faces[0].box_xyxy)
    low, high = settings.scale_range
    if not low <= scale <= high:
        return None
    left, top, right, bottom = (value * scale for value in box)
    return _confirmed((left, top, right, bottom), faces, Fit.RESCALED, settings.rescaled_iou)


def turned_with(orientation: int, box: Box, width: int, height: int) -> Box:
    """A box in stored pixels, converted to the picture as displayed.

    Args:
        orientation: the EXIF orientation, 1 to 8.
        width, height: size of the picture as displayed.
    """
    left, top, right, bottom = box
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _confirmed(box: Box, faces: list[FoundFace], fit: Fit, least_iou: float) -> Subject | None:
    overlaps = [(iou(box, face.box_xyxy), face) for face in faces]
    agreement, face = max(overlaps, key=lambda overlap: overlap[0], default=(0.0, None))
    return Subject(box, face, agreement, fit) if face and agreement >= least_iou else None


def _scale_onto(box: Box, face: Box) -> float:
    """The number s that minimises the distance between s times (centre, side) of the box and those of the face."""
    ours = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0])
    area = (face[2] - face[0]) * (face[3] - face[1])
    theirs = ((face[0] + face[2]) / 2, (face[1] + face[3]) / 2, _LISTED_SIDE * math.sqrt(area))
    return sum(a * b for a, b in zip(ours, theirs, strict=True)) / max(sum(a * a for a in ours), 1e-9)
