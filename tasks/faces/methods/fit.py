"""Whether a face confirms a box listed in 2014: as it stands, in the un-rotated picture, or at another size.

Measured on the replay world (`bench/boxes.py`): of the boxes that frame a face today .997 fit, of the others none;
a box drawn for another picture fits by chance in .08, and in .07 more after a rescale; a good box listed for a picture
of another size fits again in .92. So `fit` is kept, and a dataset that must be clean can do without rescaled boxes.
"""

from __future__ import annotations

import math

from storage.records import Box, Fit, FoundFace
from tasks.faces.boxes import iou
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.subject import Picture, Subject, sure_faces

# A listed box is square; its side over the root of the area of the MTCNN box of the same face, in the median of 1012
# boxes of the replay world (5% 1.12, 95% 1.29).
_LISTED_SIDE = 1.2


def listed_faces(picture: Picture, settings: CropSettings) -> list[FoundFace]:
    """The detected faces that may confirm a box as it stands."""
    return [face for face in picture.detection.faces if face.score >= settings.min_listed_score]


def as_listed(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box as it stands, if it overlaps a detected face enough to be the same."""
    return _confirmed(box, listed_faces(picture, settings), Fit.AS_LISTED, settings.same_face_iou)


def unrotated(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box turned with the picture, where EXIF turns it and a face is there then."""
    if picture.orientation == 1:
        return None
    seen = picture.detection
    turned = turned_with(picture.orientation, box, seen.width, seen.height)
    return _confirmed(turned, sure_faces(seen, settings), Fit.UNROTATED, settings.same_face_iou)


def rescaled(box: Box, picture: Picture, settings: CropSettings) -> Subject | None:
    """The box multiplied by one number, if that lays it well onto the only face of the picture.

    With several faces too many boxes would find one to fit. The number is the least-squares solution for the
    centre (two equations) and the side (one): a wrong box can meet one of the three, seldom all.
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
    """A box of the pixels as stored, in the picture as seen.

    Args:
        orientation: as EXIF numbers them, 1 to 8.
        width, height: of the picture as seen.
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
    """The number s for which s times (centre, side) of the box comes closest to those of the face."""
    ours = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0])
    area = (face[2] - face[0]) * (face[3] - face[1])
    theirs = ((face[0] + face[2]) / 2, (face[1] + face[3]) / 2, _LISTED_SIDE * math.sqrt(area))
    return sum(a * b for a, b in zip(ours, theirs, strict=True)) / max(sum(a * a for a in ours), 1e-9)
