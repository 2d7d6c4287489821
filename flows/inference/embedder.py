"""Inference on photos: detect the face, align it, embed it, compare it with another.

Needs only the version's folder and the photos. Nothing leaves the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.inference.photos import AlignedFace, align_photo
from model.versions.face_model import Embeddings, FaceComparison, FaceModel
from storage.errors import UsageError
from storage.records import Box, Reason
from storage.versions.models import ModelFolder
from tasks.faces.detectors import DetectorSettings

PhotoPath = str | os.PathLike[str]
# Photos read before their faces are embedded as a batch; limits memory.
_BATCH = 64
WHY = {
    Reason.NO_FACE: "no face was detected",
    Reason.BROKEN_IMAGE: "it cannot be decoded as JPEG, PNG, GIF, WebP, AVIF, BMP or TIFF",
    Reason.TOO_MANY_PIXELS: "it has over 100 million pixels",
    Reason.TOO_COSTLY: "decoding it exceeds the limits of time or memory",
}


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """The main face of a photo, and its embedding: a unit vector, float32 [d]."""

    embedding: Embeddings
    box_xyxy: Box
    score: float
    num_faces: int
    is_alone: bool


class Embedder:
    """A face detector followed by a model version.

    Args:
        version: opened from a lake (`storage.versions.models.open_model`), or the path of its folder.
    """

    def __init__(self, version: ModelFolder | PhotoPath, detector: DetectorSettings = DetectorSettings()) -> None:
        self.model = FaceModel(version if isinstance(version, ModelFolder) else ModelFolder(version))
        self._detector = detector

    def embed(
        self, photos: Sequence[PhotoPath], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[EmbeddedFace | Reason]:
        """Embed the main face of each photo; the reason for a photo without one.

        Args:
            on_progress: called with the number of photos done.

        Raises:
            UsageError: a file cannot be read.
        """
        for start in range(0, len(photos), _BATCH):
            found = [self._aligned(photo) for photo in photos[start : start + _BATCH]]
            faces = [face.image for face in found if isinstance(face, AlignedFace)]
            embeddings = iter(self.model.embed(np.stack(faces)) if faces else ())
            for face in found:
                yield face if isinstance(face, Reason) else _embedded(face, next(embeddings))
            if on_progress is not None:
                on_progress(start + len(found))

    def embed_pair(self, one: PhotoPath, other: PhotoPath) -> tuple[EmbeddedFace, EmbeddedFace]:
        """Embed the main faces of two photos.

        Raises:
            UsageError: a file cannot be read, or has no face.
        """
        first, second = (
            _required(photo, face) for photo, face in zip((one, other), self.embed((one, other)), strict=True)
        )
        return first, second

    def compare(self, one: PhotoPath, other: PhotoPath) -> FaceComparison:
        """Verify whether the main faces of two photos show the same person. Raises as `embed_pair` does."""
        first, second = self.embed_pair(one, other)
        return self.model.compare(first.embedding, second.embedding)

    def _aligned(self, photo: PhotoPath) -> AlignedFace | Reason:
        try:
            data = Path(photo).read_bytes()
        except OSError as error:
            raise UsageError(f"the photo {os.fspath(photo)} cannot be read: {error.strerror}") from error
        return align_photo(data, self.model.image_px, detector=self._detector)


def _embedded(face: AlignedFace, embedding: Embeddings) -> EmbeddedFace:
    return EmbeddedFace(embedding, face.box_xyxy, face.score, face.num_faces, face.is_alone)


def _required(photo: PhotoPath, face: EmbeddedFace | Reason) -> EmbeddedFace:
    if isinstance(face, Reason):
        raise UsageError(f"the photo {os.fspath(photo)} cannot be compared: {WHY[face]}; choose another")
    return face
