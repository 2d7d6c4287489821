"""The listed box, taken at its word: one face a line, also in a picture of several people."""

from __future__ import annotations

from storage.records import Box, Detection, Reason
from tasks.boxes import iou
from tasks.crops.settings import CropSettings
from tasks.crops.subject import Subject, sure_faces


def by_listed_box(box_xyxy: Box | None, detection: Detection, settings: CropSettings) -> Subject | Reason:
    """The listed box, with the landmarks of the detected face that overlaps it enough to be the same face.

    Nothing is refused for disagreeing with the detector: `select` does that, by `agreement`, the best
    IoU with any detected face.

    Returns:
        `Reason.NO_BOX` where none is listed; `Reason.BOX_OUT_OF_IMAGE` where less than half of its area lies
        in the picture: the server shows another picture now, or the same at another size.
    """
    if box_xyxy is None:
        return Reason.NO_BOX
    if share_inside(box_xyxy, detection.width, detection.height) < settings.min_share_inside:
        return Reason.BOX_OUT_OF_IMAGE
    overlaps = [(iou(box_xyxy, face.box_xyxy), face) for face in sure_faces(detection, settings)]
    agreement, face = max(overlaps, key=lambda overlap: overlap[0], default=(0.0, None))
    return Subject(box_xyxy, face if agreement >= settings.same_face_iou else None, agreement)


def share_inside(box: Box, width: int, height: int) -> float:
    """The share of the box's area that lies in a picture of this size; 0 for an empty box."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    inside = max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(bottom, height) - max(top, 0))
    return inside / area if area > 0 else 0.0
