"""The settings of the crop, shared by all methods."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CropSettings:
    """Whom to crop, and how. Shares and ratios are of 1."""

    # Around the subject's box on each side, as a share of its longer side.
    margin: float = 0.3
    max_side_px: int = 256
    jpeg_quality: int = 95
    # Shorter side of the subject's box. What is wanted of a dataset's faces is decided later, at `select`.
    min_face_px: int = 20
    # A detected face counts from this score on.
    min_score: float = 0.9
    # A second person counts from this size on, against the main face: fur and jewellery are smaller.
    second_face_ratio: float = 0.3
    # A detected face is the one in the listed box from this IoU on.
    same_face_iou: float = 0.4
    # The share of the listed box's area that must lie in the picture.
    min_share_inside: float = 0.5
