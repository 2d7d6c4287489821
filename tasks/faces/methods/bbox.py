"""Crop by the listed box, verified against the detected faces; works in pictures of several people too."""

from __future__ import annotations

from storage.records import Box, Fit, Reason
from tasks.faces.boxes import iou, share_inside
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.fit import as_listed, listed_faces, rescaled, unrotated
from tasks.faces.methods.subject import Picture, Subject


def by_listed_box(box_xyxy: Box | None, picture: Picture, settings: CropSettings) -> Subject | Reason:
    """The listed box if a detected face confirms it: as listed, else in the unrotated picture, else rescaled.

    A box on the very bytes that were listed needs no face, and is never rescaled. Where EXIF rotates the picture, the
    bytes do not say whether the box was drawn before or after the rotation, so a face has to. Any other box that no
    face confirms is cropped as listed, with `fit` None. `select` rejects it with `Reason.BOX_DISAGREES`; its crop is
    kept for inspection.

    Returns:
        `Reason.NO_BOX` if the line has no box; `Reason.BOX_OUT_OF_IMAGE` if no face confirms the box and less than half
        of its area lies in the picture, which has then been replaced since it was listed.
    """
    if box_xyxy is None:
        return Reason.NO_BOX
    is_proven = box_xyxy in picture.proven
    corrections = [unrotated] if is_proven else [unrotated, rescaled]
    for confirm in [as_listed, *corrections] if settings.check_boxes else [as_listed]:
        subject: Subject | None = confirm(box_xyxy, picture, settings)
        if subject:
            return subject
    seen = picture.detection
    if share_inside(box_xyxy, seen.width, seen.height) < settings.min_share_inside:
        return Reason.BOX_OUT_OF_IMAGE
    if is_proven and picture.orientation == 1:
        return Subject(box_xyxy, None, None, Fit.AS_LISTED)
    overlaps = (iou(box_xyxy, face.box_xyxy) for face in listed_faces(picture, settings))
    return Subject(box_xyxy, None, max(overlaps, default=0.0))
