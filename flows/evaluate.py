"""Evaluate a model version on Labeled Faces in the Wild (LFW), from the published photos.

Kept out of `model` because it uses the pipeline's face detector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.configuration.settings import Device
from flows.inference.photos import AlignedFace, align_photo
from model.compare.evaluation_store import evaluate_version_on_lfw, image_px
from model.embedding.align import warp
from model.verification.lfw import LfwPairs, mean_position, parse_pairs
from storage.errors import SourceError
from storage.files.atomic import whole_file
from storage.files.lake import Lake
from storage.records import Reason
from storage.stamps.stamped_fields import counted
from storage.tables.parquet import stamp
from storage.versions.evaluations import Evaluation
from storage.versions.models import ModelVersion
from tasks.faces.detectors import DetectorSettings
from tasks.images.decode import decode

_DETECTOR = DetectorSettings()


def evaluate_on_lfw(
    model: ModelVersion,
    folder: Path,
    pairs: LfwPairs,
    *,
    device: Device = "auto",
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Detect and align the faces of LFW's photos, and evaluate a version on its pairs.

    A photo without a detected face is cropped at the position that all LFW photos share; their number is reported.

    Args:
        folder: contains `<Name>/<Name>_0001.jpg`, directly or in `images/` or `lfw/`.
        on_progress: called with the number of photos done.

    Raises:
        SourceError: a photo is missing, or cannot be decoded.
    """
    photos = read_photos(folder, pairs)
    digest = stamp(
        *(hashlib.sha256(photo).digest() for photo in photos.values()), pairs.left.tolist(), pairs.right.tolist()
    )
    faces, is_found = aligned_faces(model.lake, photos, digest, image_px(model), on_progress)
    num_without_face = int((~is_found).sum())
    return evaluate_version_on_lfw(
        model, pairs, faces, test=f"lfw@{digest}", num_without_face=num_without_face, device=device
    )


def read_pairs(folder: Path) -> LfwPairs:
    """Read `pairs.txt` in a folder of LFW.

    Raises:
        SourceError: the file is missing, or not in the format of View 2.
    """
    path = folder / "pairs.txt"
    if not path.is_file():
        raise SourceError(f"--lfw {folder} contains no pairs.txt: copy the pairs file of LFW's View 2 there")
    # A byte that is not UTF-8 garbles a name; the photo of that name is then reported missing.
    return parse_pairs(path.read_text(encoding="utf-8", errors="replace"), str(path))


def read_photos(folder: Path, pairs: LfwPairs) -> dict[str, bytes]:
    """Read all photos in the pairs: path -> file bytes.

    Raises:
        SourceError: a photo is missing.
    """
    paths = [photo.path for photo in pairs.photos]
    roots = (folder / "images", folder / "lfw", folder)
    root = next((root for root in roots if (root / paths[0]).is_file()), folder)
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise SourceError(
            f"--lfw {folder} lacks {len(missing):,} of the {len(paths):,} photos in its pairs.txt, first "
            f"{missing[0]}: searched in images/, lfw/ and the folder itself"
        )
    return {path: (root / path).read_bytes() for path in paths}


def aligned_faces(
    lake: Lake, photos: dict[str, bytes], digest: str, side_px: int, on_progress: Callable[[int], None]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(faces uint8 [photos, px, px, 3], whether each was detected), cached in the work folder for the next model."""
    path = lake.work_folder / "faces" / f"lfw-{stamp(digest, side_px, counted('detect', _DETECTOR))}.npz"
    if path.exists():
        with np.load(path) as kept:
            return kept["faces"], kept["is_found"]
    found = []
    for place, (name, photo) in enumerate(photos.items()):
        found.append(aligned_face(name, photo, side_px))
        on_progress(place + 1)
    faces, is_found = np.stack([face for face, _ in found]), np.array([is_found for _, is_found in found])
    with whole_file(path) as temporary:
        np.savez(temporary, faces=faces, is_found=is_found)
    return faces, is_found


def aligned_face(name: str, photo: bytes, side_px: int) -> tuple[NDArray[np.uint8], bool]:
    """(uint8 [px, px, 3], True), or the crop at the usual position and False if no face is detected.

    Raises:
        SourceError: the photo cannot be decoded.
    """
    face = align_photo(photo, side_px, detector=_DETECTOR)
    if isinstance(face, AlignedFace):
        return face.image, True
    if face is not Reason.NO_FACE:
        raise SourceError(f"the photo {name} of --lfw cannot be decoded: download it again")
    image = decode(photo)
    return warp(image, mean_position(image.size, side_px), side_px), False
