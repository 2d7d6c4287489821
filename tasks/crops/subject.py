"""Whom a crop is about: what every method answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.records import Box, Detection, FoundFace, Reason
from tasks.crops.settings import CropSettings


@dataclass(frozen=True, slots=True)
class Subject:
    """The box to crop around, in pixels of the picture as seen, and the detected face that it holds, if any.

    `agreement` is the IoU of the listed box with a detected face; None where no box is listed.
    """

    box_xyxy: Box
    found: FoundFace | None
    agreement: float | None


# (listed box or None, the picture's detection, settings) -> the subject, or why there is none.
CropMethod = Callable[[Box | None, Detection, CropSettings], Subject | Reason]


def sure_faces(detection: Detection, settings: CropSettings) -> list[FoundFace]:
    """The detected faces whose score counts, best first."""
    return [face for face in detection.faces if face.score >= settings.min_score]


def shorter_side(box: Box) -> float:
    """The shorter side of a box."""
    return min(box[2] - box[0], box[3] - box[1])
