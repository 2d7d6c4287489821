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
    # False takes every listed box as it stands and corrects none: the plain form of the original experiment.
    check_boxes: bool = True
    # A detected face is the one in the listed box from this IoU on. Of 1019 good boxes of the replay world 1017 have
    # 0.5 and more, of 105 bad ones none has 0.2.
    same_face_iou: float = 0.4
    # There it counts from a lower score on: two detectors that never met point at it. 0.9 loses 5 more good boxes.
    min_listed_score: float = 0.7
    # A rescaled box must fit better, since one number was chosen to make it fit (see `fit.rescaled`).
    rescaled_iou: float = 0.6
    # Pixels of today's picture per pixel of 2014's.
    scale_range: tuple[float, float] = (0.2, 5.0)
    # The share of an unconfirmed box's area that must lie in the picture.
    min_share_inside: float = 0.5
