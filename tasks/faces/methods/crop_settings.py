"""The crop settings, shared by all methods."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CropSettings:
    """Whom to crop, and how. Shares and ratios are of 1."""

    # The margin on each side of the subject's box, as a share of its longer side.
    margin: float = 0.3
    max_side_px: int = 256
    jpeg_quality: int = 95
    # The least shorter side of the subject's box. The requirements of a dataset are applied later, by `select`.
    min_face_px: int = 20
    # The least score of a detected face.
    min_score: float = 0.9
    # The least size of a second person relative to the main face; false detections on fur and jewellery are smaller.
    second_face_ratio: float = 0.3
    # False: every listed box is used as listed, as in the original experiment.
    check_boxes: bool = True
    # The least IoU of a detected face with the listed box. Of 1019 good boxes of the replay world 1017 have
    # 0.5 and more, of 105 bad ones none has 0.2.
    same_face_iou: float = 0.4
    # The least score of such a face, lower since two independent sources agree. 0.9 loses 5 more good boxes.
    min_listed_score: float = 0.7
    # A rescaled box must overlap more, since the scale was fitted (see `fit.rescaled`).
    rescaled_iou: float = 0.6
    # The range of the scale: pixels of the served picture per pixel of the listed one.
    scale_range: tuple[float, float] = (0.2, 5.0)
    # The least share of an unconfirmed box's area inside the picture.
    min_share_inside: float = 0.5
