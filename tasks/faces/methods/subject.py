"""Whom a crop is about: what every method is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from storage.records import Box, Detection, Fit, FoundFace, Reason
from tasks.faces.boxes import iou
from tasks.faces.methods.crop_settings import CropSettings
from tasks.images.decode import decode, orientation


class Picture:
    """One picture and the faces found in it. Its file is read, and decoded, when first asked for.

    Args:
        read: gives the bytes of the file.
    """

    def __init__(self, detection: Detection, read: Callable[[], bytes]) -> None:
        self.detection = detection
        self._read = read

    @cached_property
    def _data(self) -> bytes:
        return self._read()

    @cached_property
    def orientation(self) -> int:
        """How EXIF says the pixels are to be turned, 1 to 8 (`tasks.images.decode.orientation`)."""
        return orientation(self._data)

    @cached_property
    def image(self) -> Image.Image:
        """The picture as seen, mode RGB.

        Raises:
            UndecodableImage: the bytes give no picture.
        """
        return decode(self._data)


@dataclass(frozen=True, slots=True)
class Subject:
    """The box to crop around, in pixels of the picture as seen, and the detected face that it holds, if any.

    `agreement` is the IoU of the listed box with a detected face, after the correction that `fit` names; None where no
    box is listed. `fit` is None where no face confirms the listed box, or the method did not ask.
    """

    box_xyxy: Box
    found: FoundFace | None
    agreement: float | None
    fit: Fit | None = None


# (listed box or None, the picture, settings) -> the subject, or why there is none.
CropMethod = Callable[[Box | None, Picture, CropSettings], Subject | Reason]


def one_clear_person(faces: Iterable[FoundFace], box_xyxy: Box | None, settings: CropSettings) -> Subject | Reason:
    """The largest of these faces, if nobody else is nearly as large.

    Size is the shorter side. Smaller faces than `second_face_ratio` of the main one's are passers-by, or no
    faces at all. The listed box chooses nothing; `agreement` is its IoU with the face taken.

    Returns:
        `Reason.NO_FACE` where there is none, `Reason.SEVERAL_PEOPLE` where a second face is large too.
    """
    by_size = sorted(faces, key=lambda face: -shorter_side(face.box_xyxy))
    if not by_size:
        return Reason.NO_FACE
    main = by_size[0]
    rival_px = settings.second_face_ratio * shorter_side(main.box_xyxy)
    if len(by_size) > 1 and shorter_side(by_size[1].box_xyxy) >= rival_px:
        return Reason.SEVERAL_PEOPLE
    return Subject(main.box_xyxy, main, iou(box_xyxy, main.box_xyxy) if box_xyxy else None)


def sure_faces(detection: Detection, settings: CropSettings) -> list[FoundFace]:
    """The detected faces whose score counts, best first."""
    return [face for face in detection.faces if face.score >= settings.min_score]


def shorter_side(box: Box) -> float:
    """The shorter side of a box."""
    return min(box[2] - box[0], box[3] - box[1])
