"""The settings and the interface of a face detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from storage.errors import UsageError
from storage.records import FoundFace
from storage.stamps.setting_field import setting

# Below this size nearly all additional boxes are false (6 of 6, compared with 100 px).
_SMALLEST_FACE_PX = 20
# Shortcuts: at this picture size large faces have enough detail, since the third network's input is 48 px. A large face
# is twice that; shortcuts would lose smaller ones.
_ENOUGH_SIDE_PX, _ENOUGH_FACE_PX, _LARGE_FACE_PX = 1024, 48, 96


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """The settings of face detection.

    Faces smaller than `min_face_px` are not found. A picture with a side over `max_side_px` is reduced first, and the
    smallest face grows by the same factor (40 px up to 4096 px, 60 px at 6000 px). `thresholds` are the least scores
    of the three networks. After the first and the second, boxes that a higher-scored one overlaps by more than
    `overlaps` (IoU) are removed; the reference engine always uses 0.7. `factor`
    is the step of the first network's pyramid.

    If the smallest face is 96 px or more, the packed engine uses three shortcuts (their gain and cost: docs/detect.md):
    pictures over 1024 px are reduced while the smallest face keeps 48 px; the threshold of the first network is 0.85;
    and of the candidates around one face, the third network processes only the best if that is certain. With `exact`,
    and for smaller faces, the results equal those of the reference engine to a hundredth of a pixel.

    On `cuda` the networks may run at half `precision`. GPU results depend slightly on the card and on the other
    pictures of the batch: use a CPU for datasets that must be reproducible everywhere.

    Raises:
        UsageError: `min_face_px` is below 20, or half precision is set for a CPU.
    """

    engine: Literal["packed", "shipped"] = setting("packed", "implementation: packed, or facenet-pytorch's own code")
    exact: bool = setting(False, "whether no shortcuts are taken; they are from min_face_px 96 on")
    min_face_px: int = setting(40, "least shorter side of a face, in pixels of the picture", ge=_SMALLEST_FACE_PX)
    max_side_px: int = setting(2048, "larger pictures are shrunk below this side, in pixels", ge=64)
    thresholds: tuple[float, float, float] = setting(
        (0.6, 0.7, 0.7), "scores that a box needs to pass the three networks", ge=0, le=1
    )
    overlaps: tuple[float, float] = setting(
        (0.7, 0.7), "greatest IoU with a better box after the first and the second network", ge=0, le=1
    )
    factor: float = setting(0.709, "step of the pyramid of sizes", ge=0.1, le=0.95)
    device: Literal["cpu", "cuda"] = setting("cpu", "compute device")
    precision: Literal["float32", "float16", "bfloat16"] = setting("float32", "precision of the networks on cuda")

    def __post_init__(self) -> None:
        if self.min_face_px < _SMALLEST_FACE_PX:
            raise UsageError(
                f"min_face_px is {self.min_face_px}, the least is {_SMALLEST_FACE_PX}: "
                "smaller faces cannot be distinguished from noise; set a larger value"
            )
        if self.device == "cpu" and self.precision != "float32":
            raise UsageError(
                f"precision is {self.precision!r} on a CPU, where it must be float32: half precision depends on "
                "the processor; set float32, or device='cuda'"
            )

    @property
    def takes_shortcuts(self) -> bool:
        """Whether results may differ slightly from the reference engine's."""
        return self.min_face_px >= _LARGE_FACE_PX and not self.exact


class Detector(Protocol):
    """A face detector. On a CPU, the result of a picture does not depend on other pictures."""

    # The best number of pictures per batch.
    batch: int

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, highest score first. Boxes may extend beyond the picture."""

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each picture; sizes may differ."""


def working_scale(size: tuple[int, int], settings: DetectorSettings) -> tuple[int, float]:
    """The whole number to reduce a picture of this size by, and the smallest face to find in the reduced picture."""
    shrink = -(-max(size) // settings.max_side_px)
    return shrink, max(settings.min_face_px / shrink, _SMALLEST_FACE_PX)


def short_scale(size: tuple[int, int], settings: DetectorSettings) -> tuple[int, float]:
    """As `working_scale`, with the shortcut for large pictures."""
    wanted = min(-(-max(size) // _ENOUGH_SIDE_PX), settings.min_face_px // _ENOUGH_FACE_PX)
    least, smallest_px = working_scale(size, settings)
    return (wanted, settings.min_face_px / wanted) if wanted > least else (least, smallest_px)


def in_picture(box: list[float], points: list[list[float]], shrink: int) -> FoundFace:
    """Convert a face of the cascade to pixels from 0.

    The cascade's boxes count pixels from 1 and include the last, as in the Matlab original: its [1, w] is [0, w) here.
    Its points already count from 0.
    """
    left, top, right, bottom, score = box
    xyxy = ((left - 1) * shrink, (top - 1) * shrink, right * shrink, bottom * shrink)
    return FoundFace(xyxy, score, tuple(value * shrink for point in points for value in point))
