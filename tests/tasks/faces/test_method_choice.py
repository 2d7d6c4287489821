"""The crop methods of a choice, by what a source has."""

from __future__ import annotations

import pytest

from storage.errors import UsageError
from tasks.faces.method_choice import methods_of
from tasks.faces.methods import METHODS
from tasks.links.sources import source_named


def test_every_method_can_be_asked_for_by_its_name_and_no_other() -> None:
    for method in METHODS:
        assert methods_of(method, source_named("vggface1")) == [method]
    vggface1 = source_named("vggface1")
    assert methods_of("both", vggface1) == methods_of("agree", vggface1) == ["bbox", "mtcnn"]
    with pytest.raises(UsageError, match=r"unknown crop method 'magic'; choose one of .*both"):
        methods_of("magic", source_named("vggface1"))


def test_a_source_without_listed_boxes_is_cropped_by_what_needs_none() -> None:
    assert [methods_of(method, source_named("vggface2")) for method in ("both", "bbox")] == [["mtcnn"], ["mtcnn"]]
    with pytest.raises(UsageError, match=r"--method agree compares listed boxes .* vggface2 has no listed boxes"):
        methods_of("agree", source_named("vggface2"))
