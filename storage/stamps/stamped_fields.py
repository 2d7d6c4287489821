"""The fields of settings classes that are part of ids and stamps.

Ids of dataset and model versions and stamps of computed tables are digests of the settings that made them. A field that
is added to a settings class later must not change them: with its default, the new code does what the old code did.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# By what they are settings of: the fields of the lake's format 1. They always count; none is ever removed or renamed.
_FIRST_FIELDS = {
    "detect": "engine exact min_face_px max_side_px thresholds overlaps factor device precision",
    "crop": "margin max_side_px jpeg_quality min_face_px min_score second_face_ratio check_boxes same_face_iou "
    "min_listed_score rescaled_iou scale_range min_share_inside",
    "dedupe": "near_distance least_bits placeholder_hosts placeholder_identities same_box_iou",
    "select": "min_face_px min_agreement rescaled_boxes min_score max_border min_sharpness max_yaw_deg max_roll_deg "
    "min_faces",
    "split": "test_share val_share least_identities",
    "clean": "wrong_share known_share double_share rounds caution",
    "cleaning": "model wrong_person_score same_person_score",
    "train": "name backbone width activation embedding_dim image_px loss margin mining head_margin head_scale "
    "head_weight identities_per_batch faces_per_identity steps learning_rate weight_decay warmup_steps ema_decay "
    "augment_strength mirror seed sync_batch_norm",
}


def counted(kind: str, settings: DataclassInstance) -> dict[str, Any]:
    """The fields of `settings` that affect the result: all of format 1, and later ones with a non-default value.

    The default of a later field must stay the one it was added with, or two different results have the same id.

    Args:
        kind: what they are settings of, a key of the table above.
    """
    first = _FIRST_FIELDS[kind].split()
    later = {field.name: _default(field) for field in dataclasses.fields(settings) if field.name not in first}
    values = dataclasses.asdict(settings)
    return {name: value for name, value in values.items() if name in first or value != later[name]}


def differing(settings: DataclassInstance) -> dict[str, Any]:
    """The fields of `settings` that differ from their defaults."""
    values = {field.name: (getattr(settings, field.name), _default(field)) for field in dataclasses.fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
