"""The public Python API.

Published dataset and model versions are opened from a lake; a model version embeds and compares photos:

    from facemill import Embedder, Lake, open_dataset, open_model

    lake = Lake("./lake")
    dataset = open_dataset(lake, "faces-mtcnn")
    embedder = Embedder(open_model(lake, "embedder@champion"))
    print(embedder.compare("one.jpg", "other.jpg").probability)

Importing it loads neither torch nor Prefect. Everything else in the packages beside this one may change between minor
releases.
"""

from flows.inference.embedder import EmbeddedFace, Embedder
from model.versions.face_model import FaceComparison, FaceModel
from storage.errors import FacemillError, LakeError, UsageError
from storage.files.lake import Lake
from storage.records import Reason
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import ModelFolder, ModelVersion, open_model

__all__ = [
    "DatasetVersion",
    "EmbeddedFace",
    "Embedder",
    "FaceComparison",
    "FaceModel",
    "FacemillError",
    "Lake",
    "LakeError",
    "ModelFolder",
    "ModelVersion",
    "Reason",
    "UsageError",
    "open_dataset",
    "open_model",
]
