"""What a manifest says of how a version was made."""

from __future__ import annotations

from tasks.dataset.manifest import origins, settings_of

MANIFEST = {
    "name": "faces",
    "version": "v1",
    "num_samples": 3,
    "source": "made",
    "select": {"min_face_px": 100},
    "made_with": {"crop": {"margin": 0.2}},
    "made_from": {"links": "0123"},
    "code": {"facemill": "0.1.0"},
    "terms": "none",
}


def test_the_settings_of_a_version_are_what_somebody_chose() -> None:
    assert settings_of(MANIFEST) == {"source": "made", "select.min_face_px": 100, "made_with.crop.margin": 0.2}


def test_its_origins_are_settings_and_inputs() -> None:
    assert origins(MANIFEST).keys() - settings_of(MANIFEST).keys() == {"made_from.links", "code.facemill", "terms"}
