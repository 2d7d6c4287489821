"""The fields of `--set`: all are listed, typed by their classes, checked, and refused in one line."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import import_module
from typing import Any

import pytest

from flows.configuration.setting_groups import (
    FLOWS,
    GROUPS,
    changed,
    check_settings,
    of_flow,
    read_settings,
    setting_fields,
    shown_default,
)
from model.configuration.config import PRESETS
from storage.errors import UsageError
from tasks.dataset.select import SelectRules
from tasks.faces.detectors import DetectorSettings
from tasks.faces.methods import CropSettings

# Set by `fetch.per_host` and `fetch.per_host_per_s`, by --model, by --cleaned-by and --wrong-person-score.
ELSEWHERE = {
    "hosts.most_at_once", "hosts.most_per_s", "train.name", "cleaning.model", "cleaning.wrong_person_score"
}  # fmt: skip
EVERY = [one for group in GROUPS for one in setting_fields(group).values()]


def test_every_field_of_every_settings_class_can_be_set_or_has_an_option() -> None:
    known = set()
    for name, group in GROUPS.items():
        module, _, kind = group.home.partition(":")
        known |= {f"{name}.{field.name}" for field in fields(getattr(import_module(module), kind))}
    assert known - {one.name for one in EVERY} == ELSEWHERE


@pytest.mark.parametrize("field", EVERY, ids=lambda field: field.name)
def test_a_field_has_a_meaning_of_one_line_and_takes_its_own_default(field: Any) -> None:
    assert re.fullmatch(r"[^\n]{5,110}", field.text)
    assert field.read(shown_default(field.default)) == field.default


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("select.min_faces=3", 3),
        ("select.min_sharpness=100", 100.0),
        ("select.rescaled_boxes=false", False),
        ("crop.scale_range=0.5,2", [0.5, 2.0]),
        ("detect.engine=shipped", "shipped"),
        ("train.loss=triplet+cosface", "triplet+cosface"),
    ],
)
def test_a_value_has_the_type_of_its_field_as_text_and_as_json(text: str, value: object) -> None:
    name = text.partition("=")[0]
    from_json = check_settings({name: value}, "pipeline")  # type: ignore[dict-item]  # values of any type
    assert read_settings([text], "pipeline") == from_json == {name: value}
    assert type(read_settings([text], "pipeline")[name]) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("select.min_sharpness", "does not have the form GROUP.FIELD=VALUE"),
        ("min_sharpness=1", "does not have the form GROUP.FIELD=VALUE"),
        ("select.min_sharpnes=1", "Did you mean select.min_sharpness? `facemill settings pipeline`"),
        ("selct.min_sharpness=1", "Did you mean select.min_sharpness?"),
        ("magic.wand=1", "there is no setting magic.wand. `facemill settings pipeline`"),
        ("select.min_faces=2.5", "select.min_faces=2.5 is invalid"),
        ("select.min_faces=0", "it takes int, at least 1"),
        ("select.min_score=nan", "select.min_score=nan is invalid"),
        ("select.min_score=", "it takes float, 0 to 1"),
        ("select.rescaled_boxes=maybe", "it takes bool"),
        ("crop.scale_range=0.5", "it takes float,float, above 0"),
        ("crop.scale_range=0,2", "it takes float,float, above 0"),
        ("detect.engine=magic", "it takes packed|shipped"),
        ("detect.precision=float16", "precision is 'float16' on a CPU"),
        ("train.image_px=100", "image_px must be a multiple of 16"),
        ("train.backbone=magic", "backbone must be one of"),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as error:
        read_settings([text], "pipeline")
    assert "\n" not in str(error.value)


def test_a_setting_of_other_flows_is_refused_with_their_names() -> None:
    told = "cleaning.same_person_score is not a setting of clean, but of publish, pipeline"
    with pytest.raises(UsageError, match=re.escape(told)):
        read_settings(["cleaning.same_person_score=1"], "clean")


def test_a_group_changes_only_the_fields_that_are_given() -> None:
    base = SelectRules(min_face_px=40)
    settings = read_settings(["select.min_sharpness=100", "crop.scale_range=0.5,2"], "pipeline")
    assert changed(base, "select", settings) == SelectRules(min_face_px=40, min_sharpness=100.0)
    assert changed(CropSettings(), "crop", settings) == CropSettings(scale_range=(0.5, 2.0))
    assert changed(PRESETS["smoke"], "train", {"train.steps": 7}).steps == 7
    assert changed(base, "select", {}) is changed(base, "select", None) is base
    assert changed(DetectorSettings(), "detect", settings) == DetectorSettings()


def test_a_pipeline_hands_each_flow_the_settings_that_it_takes() -> None:
    settings = read_settings(["select.min_faces=3", "train.steps=7", "fetch.total_s=5"], "pipeline")
    assert of_flow(settings, "publish") == {"select.min_faces": 3}
    assert of_flow(settings, "retry") == of_flow(settings, "ingest") == {"fetch.total_s": 5.0}
    assert of_flow(settings, "check") == of_flow(None, "publish") == {}
    for flow in FLOWS:
        assert check_settings(of_flow(settings, flow), flow) == of_flow(settings, flow)
