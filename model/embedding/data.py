"""The faces of one split, decoded once into one array. Batches are rows selected by index; there is no data loader.

122,000 faces of 112 x 112 px are 4.6 GB as uint8, which fits on one GPU. Decoding takes minutes, so the array can be
kept in a cache folder and memory-mapped the next time.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.embedding.align import face_square
from storage.errors import LakeError
from storage.files.atomic import whole_file
from storage.versions.datasets import DatasetVersion

_COLUMNS = ["sample", "identity", "split", "face_box_xyxy", "landmarks", "shard", "offset", "length"]
# Part of the names of cached arrays. Increase it when the same sample gives different pixels.
_PIXELS_VERSION = 1
# Crops of a thread in memory at a time: about a megabyte.
_READ_AT_ONCE = 64


@dataclass(frozen=True)
class Faces:
    """The faces of one split.

    Attributes:
        images: uint8 [n, px, px, 3], RGB.
        labels: int64 [n], each face's index in `identities`.
        identities: names, sorted.
        samples: [n], sample names in the dataset version.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    identities: tuple[str, ...]
    samples: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load_faces(dataset: DatasetVersion, split: str, image_px: int, *, cache_folder: Path | None = None) -> Faces:
    """Load the faces of `split` in the order of the index, each an `align.face_square` of `image_px`.

    An empty split gives no faces.

    Args:
        cache_folder: folder that keeps decoded arrays between runs; None: no cache.

    Raises:
        LakeError: a sample cannot be decoded.
        UsageError: the dataset names nobody, so it has no labels.
    """
    dataset.require_names()
    state, rows = _rows(dataset, split)
    identities = tuple(sorted({row["identity"] for row in rows}))
    number = {identity: label for label, identity in enumerate(identities)}
    return Faces(
        images=_images(dataset, rows, f"{state}-{split}", image_px, cache_folder),
        labels=np.array([number[row["identity"]] for row in rows], dtype=np.int64),
        identities=identities,
        samples=tuple(row["sample"] for row in rows),
    )


def _rows(dataset: DatasetVersion, split: str) -> tuple[str, list[dict[str, Any]]]:
    """The state of a dataset version, and the rows of a split in this state."""
    while True:
        state = dataset.state
        rows = [row for row in dataset.index(_COLUMNS).to_pylist() if row["split"] == split]
        # A takedown may be recorded at any time: decoded faces of one state must not be kept as those of the next.
        if dataset.state == state:
            return state, rows


def _images(
    dataset: DatasetVersion, rows: list[dict[str, Any]], name: str, image_px: int, cache_folder: Path | None
) -> NDArray[np.uint8]:
    shape = (len(rows), image_px, image_px, 3)
    if cache_folder is None or not rows:
        images = np.zeros(shape, np.uint8)
        _decode_into(images, dataset, rows, image_px)
        return images
    path = cache_folder / f"{name}-{image_px}px-{_PIXELS_VERSION}.npy"
    if not path.exists():
        with whole_file(path) as temporary:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            _decode_into(images, dataset, rows, image_px)
            images.flush()
    # Copy on write: torch requires writable memory, and the file must not change.
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="c")
    return mapped


def _decode_into(images: NDArray[np.uint8], dataset: DatasetVersion, rows: list[dict[str, Any]], image_px: int) -> None:
    def decode(items: list[tuple[int, dict[str, Any]]]) -> None:
        crops = dataset.read_all([(row["shard"], row["offset"], row["length"]) for _, row in items])
        for (position, row), crop in zip(items, crops, strict=True):
            images[position] = _face(dataset, row, crop, image_px)

    # In the order of the shards, so that disks read ahead, and of a bucket many come with one request.
    in_order = sorted(enumerate(rows), key=lambda item: (item[1]["shard"], item[1]["offset"]))
    some = [in_order[at : at + _READ_AT_ONCE] for at in range(0, len(in_order), _READ_AT_ONCE)]
    # Pillow decodes and warps without the GIL, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, some):
            pass


def _face(dataset: DatasetVersion, row: dict[str, Any], data: bytes, image_px: int) -> NDArray[np.uint8]:
    try:
        return face_square(data, row["face_box_xyxy"], row["landmarks"], image_px)
    except OSError as error:
        raise LakeError(
            f"sample {row['sample']} of {dataset} cannot be decoded ({error}); its shard {row['shard']} is damaged: "
            "publish the dataset again"
        ) from error
