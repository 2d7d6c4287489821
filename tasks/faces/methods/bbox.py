"""The listed box, held against the faces detected: one face a line, also in a picture of several people."""

from __future__ import annotations

from storage.records import Box, Reason
from tasks.faces.boxes import iou, share_inside
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.fit import as_listed, listed_faces, rescaled, unrotated
from tasks.faces.methods.subject import Picture, Subject


def by_listed_box(box_xyxy: Box | None, picture: Picture, settings: CropSettings) -> Subject | Reason:
    """The listed box where a face confirms it: as it stands, else in the un-rotated picture, else rescaled.

    A box that nothing confirms is cropped as it stands, with `fit` None; `select` refuses it with
    `Reason.BOX_DISAGREES`, so that its crop can still be looked at.

    Returns:
        `Reason.NO_BOX` where none is listed; `Reason.BOX_OUT_OF_IMAGE` where nothing confirms the box and less than
        half of its area lies in the picture: the server shows another picture now.
    """
    if box_xyxy is None:
        return Reason.NO_BOX
    for confirm in (as_listed, unrotated, rescaled) if settings.check_boxes else (as_listed,):
        subject = confirm(box_xyxy, picture, settings)
        if subject:
            return subject
    seen = picture.detection
    if share_inside(box_xyxy, seen.width, seen.height) < settings.min_share_inside:
        return Reason.BOX_OUT_OF_IMAGE
    overlaps = (iou(box_xyxy, face.box_xyxy) for face in listed_faces(picture, settings))
    return Subject(box_xyxy, None, max(overlaps, default=0.0))
