"""What a face detector is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from storage.errors import UsageError
from storage.records import FoundFace

# At this size nearly all that the cascade finds more is false (6 of 6 extra boxes, against 100 px).
_SMALLEST_FACE_PX = 20
# Shortcuts: a picture of this size shows large faces well, and the third network sees none larger than its 48 px.
# Twice that is a large face; smaller ones shortcuts would lose.
_ENOUGH_SIDE_PX, _ENOUGH_FACE_PX, _LARGE_FACE_PX = 1024, 48, 96


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What to look for, and with what.

    Faces under `min_face_px` are not found. The networks see no picture over `max_side_px`: a larger one is
    shrunk below it, and the smallest face grows with that (40 px up to 4096 px, 60 px at 6000 px). `thresholds`
    are the scores a box needs to pass the three networks; after the first and the second a box goes that a better
    one overlaps by more than `overlaps` (IoU; not for the shipped engine, which always has 0.7). `factor`
    is the step of the first network's pyramid.

    Where the smallest face is 96 px or more the packed engine takes three shortcuts (docs/detect.md has what they
    gain and cost): pictures over 1024 px are shrunk as long as the smallest face keeps 48 px; the first network must
    be surer, 0.85; and of the candidates around one face the third network sees only the best, if it is certain of
    that one. With `exact`, and for smaller faces, it finds what the shipped one finds, to a hundredth of a pixel.

    On `cuda` the networks may run at half `precision`. What is found there hangs a little on the graphics card and
    on what else is looked at with it: datasets that must come out the same everywhere are made on a CPU.

    Raises:
        UsageError: `min_face_px` is below 20, or a CPU is asked for half precision.
    """

    engine: str = "packed"
    exact: bool = False
    min_face_px: int = 40
    max_side_px: int = 2048
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    overlaps: tuple[float, float] = (0.7, 0.7)
    factor: float = 0.709
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "float16", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.min_face_px < _SMALLEST_FACE_PX:
            raise UsageError(
                f"min_face_px is {self.min_face_px}, the least is {_SMALLEST_FACE_PX}: "
                "smaller faces cannot be told from noise; ask for larger ones"
            )
        if self.device == "cpu" and self.precision != "float32":
            raise UsageError(
                f"precision is {self.precision!r} on a CPU, which must be float32 there: halves depend on the "
                "processor; ask for float32, or for device='cuda'"
            )

    @property
    def takes_shortcuts(self) -> bool:
        """Whether answers may differ a little from the shipped engine's."""
        return self.min_face_px >= _LARGE_FACE_PX and not self.exact


class Detector(Protocol):
    """Finds faces. On a CPU no result depends on what else was looked at."""

    # Pictures that are best looked at together.
    batch: int

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, best score first. Boxes may leave the picture."""

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each of some pictures, of any sizes."""


def working_scale(size: tuple[int, int], settings: DetectorSettings) -> tuple[int, float]:
    """The whole number to shrink a picture of this size by, and the smallest face to look for in the rest."""
    shrink = -(-max(size) // settings.max_side_px)
    return shrink, max(settings.min_face_px / shrink, _SMALLEST_FACE_PX)


def short_scale(size: tuple[int, int], settings: DetectorSettings) -> tuple[int, float]:
    """As `working_scale`, by the shortcut for large pictures."""
    wanted = min(-(-max(size) // _ENOUGH_SIDE_PX), settings.min_face_px // _ENOUGH_FACE_PX)
    least, smallest_px = working_scale(size, settings)
    return (wanted, settings.min_face_px / wanted) if wanted > least else (least, smallest_px)


def in_picture(box: list[float], points: list[list[float]], shrink: int) -> FoundFace:
    """A face as the cascade gives it, in our pixels.

    Its boxes count pixels from 1 and include the last, as the Matlab original did: [1, w] is our [0, w). Its
    points already count from 0.
    """
    left, top, right, bottom, score = box
    xyxy = ((left - 1) * shrink, (top - 1) * shrink, right * shrink, bottom * shrink)
    return FoundFace(xyxy, score, tuple(value * shrink for point in points for value in point))
