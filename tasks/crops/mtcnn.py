"""The detected face, where the picture shows one clear person."""

from __future__ import annotations

from storage.records import Box, Detection, Reason
from tasks.boxes import iou
from tasks.crops.settings import CropSettings
from tasks.crops.subject import Subject, shorter_side, sure_faces


def by_detected_face(box_xyxy: Box | None, detection: Detection, settings: CropSettings) -> Subject | Reason:
    """The largest detected face, if nobody else in the picture is nearly as large.

    Size is the shorter side. Smaller faces than `second_face_ratio` of the main one's are passers-by, or no
    faces at all. The listed box chooses nothing; `agreement` is its IoU with the face taken.

    Returns:
        `Reason.NO_FACE` where no score counts, `Reason.SEVERAL_PEOPLE` where a second face is large too.
    """
    faces = sorted(sure_faces(detection, settings), key=lambda face: -shorter_side(face.box_xyxy))
    if not faces:
        return Reason.NO_FACE
    main, *others = faces
    rival_px = settings.second_face_ratio * shorter_side(main.box_xyxy)
    if others and shorter_side(others[0].box_xyxy) >= rival_px:
        return Reason.SEVERAL_PEOPLE
    return Subject(main.box_xyxy, main, iou(box_xyxy, main.box_xyxy) if box_xyxy else None)
