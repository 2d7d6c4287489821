"""The crop settings, shared by all methods."""

from __future__ import annotations

from dataclasses import dataclass

from storage.stamps.setting_field import setting


@dataclass(frozen=True, slots=True)
class CropSettings:
    """Whom to crop, and how. Shares and ratios are of 1."""

    margin: float = setting(0.3, "margin on each side of the face's box, as a share of its longer side", ge=0, le=4)
    max_side_px: int = setting(256, "greatest side of a crop, in pixels", ge=16, le=4096)
    jpeg_quality: int = setting(95, "JPEG quality of a crop", ge=1, le=100)
    # The requirements of a dataset are applied later, by `select`.
    min_face_px: int = setting(20, "least shorter side of the face's box, in pixels", ge=1)
    min_score: float = setting(0.9, "least score of a detected face", ge=0, le=1)
    # False detections on fur and jewellery are smaller.
    second_face_ratio: float = setting(0.3, "least size of a second person relative to the main face", ge=0, le=1)
    # False is the plain form of the original experiment.
    check_boxes: bool = setting(True, "whether listed boxes are checked and corrected; false takes each as listed")
    # Of 1019 good boxes of the replay world 1017 have 0.5 and more, of 105 bad ones none has 0.2.
    same_face_iou: float = setting(0.4, "least IoU of a detected face with the listed box", ge=0, le=1)
    # Lower than `min_score` since two independent sources agree. 0.9 loses 5 more good boxes.
    min_listed_score: float = setting(0.7, "least score of such a face", ge=0, le=1)
    # Higher than `same_face_iou` since the scale was fitted (see `fit.rescaled`).
    rescaled_iou: float = setting(0.6, "least IoU of a detected face with a rescaled box", ge=0, le=1)
    scale_range: tuple[float, float] = setting(
        (0.2, 5.0), "range of the scale: pixels of the served picture per pixel of the listed one", gt=0
    )
    min_share_inside: float = setting(0.5, "least share of an unconfirmed box's area inside the picture", ge=0, le=1)
