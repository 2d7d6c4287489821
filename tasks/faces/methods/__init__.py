"""The crop methods, one per file. To add one: a file, a line here and a test."""

from __future__ import annotations

from tasks.faces.methods.bbox import by_listed_box
from tasks.faces.methods.centerface import by_centerface
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.mtcnn import by_detected_face
from tasks.faces.methods.subject import CropMethod, Picture, Subject

METHODS: dict[str, CropMethod] = {
    "bbox": by_listed_box,
    "mtcnn": by_detected_face,
    "centerface": by_centerface,
}

AGREE = "agree"
# The choices of --method. "both": bbox and mtcnn, one dataset each; "agree": one dataset of the faces where they agree.
METHOD_CHOICES = (*METHODS, "both", AGREE)


def cropped_by(method: str) -> str:
    """The method whose crops the faces of a method are."""
    return "mtcnn" if method == AGREE else method


__all__ = ["AGREE", "METHODS", "METHOD_CHOICES", "CropMethod", "CropSettings", "Picture", "Subject", "cropped_by"]
