"""Crop the face that MTCNN detected, if the picture has one main person."""

from __future__ import annotations

from storage.records import Box, Reason
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.subject import Picture, Subject, one_clear_person, sure_faces


def by_detected_face(box_xyxy: Box | None, picture: Picture, settings: CropSettings) -> Subject | Reason:
    """The stored detection of the main person (`subject.one_clear_person`)."""
    return one_clear_person(sure_faces(picture.detection, settings), box_xyxy, settings)
