"""The methods that say whom to crop, one a file. A new one is a file, a line here and a test."""

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
# What may be asked for; "both" is bbox and mtcnn, a dataset each, "agree" one dataset where these two agree.
METHOD_CHOICES = (*METHODS, "both", AGREE)

__all__ = ["AGREE", "METHODS", "METHOD_CHOICES", "CropMethod", "CropSettings", "Picture", "Subject"]
