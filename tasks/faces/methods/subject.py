"""The interface of the crop methods: a picture with its faces in, the subject of the crop out."""

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
    """One picture and its detected faces. The file is read and decoded on first use.

    Args:
        read: returns the bytes of the file.
        proven: the listed boxes of lines whose digest the file has: they were drawn on this very picture.
    """

    def __init__(self, detection: Detection, read: Callable[[], bytes], proven: frozenset[Box] = frozenset()) -> None:
        self.detection = detection
        self.proven = proven
        self._read = read

    @cached_property
    def _data(self) -> bytes:
        return self._read()

    @cached_property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8 (`tasks.images.decode.orientation`)."""
        return orientation(self._data)

    @cached_property
    def image(self) -> Image.Image:
        """The picture as displayed, mode RGB.

        Raises:
            UndecodableImage: the picture cannot be decoded.
        """
        return decode(self._data)


@dataclass(frozen=True, slots=True)
class Subject:
    """The box to crop around, in pixels of the picture as displayed, and the detected face in it, if any.

    `agreement` is the IoU of the listed box with a detected face, after the correction named by `fit`; None if no box
    is listed, or if the listed digest proves it and no face does. `fit` is None if nothing confirms the listed box, or
    if the method does not verify it.
    """

    box_xyxy: Box
    found: FoundFace | None
    agreement: float | None
    fit: Fit | None = None


# (listed box or None, the picture, settings) -> the subject, or the reason for none.
CropMethod = Callable[[Box | None, Picture, CropSettings], Subject | Reason]


def one_clear_person(faces: Iterable[FoundFace], box_xyxy: Box | None, settings: CropSettings) -> Subject | Reason:
    """The largest of these faces, if no other is nearly as large.

    Size is the shorter side. Faces smaller than `second_face_ratio` of the main one are bystanders or false detections.
    The listed box does not influence the choice; `agreement` is its IoU with the chosen face.

    Returns:
        `Reason.NO_FACE` if there is none, `Reason.SEVERAL_PEOPLE` if a second face is large too.
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
    """The detected faces with a high enough score, highest first."""
    return [face for face in detection.faces if face.score >= settings.min_score]


def shorter_side(box: Box) -> float:
    """The shorter side of a box."""
    return min(box[2] - box[0], box[3] - box[1])
