"""Embedders of crops: a model version, histogram features fitted to a dataset, or facenet-pytorch's network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.configuration.config import config_of
from model.embedding.align import face_square
from model.embedding.data import load_faces
from model.embedding.embed import embed
from model.embedding.histograms import IMAGE_PX, Projection, fit_projection
from model.versions.version import load_backbone
from storage.errors import LakeError, UsageError
from storage.files.atomic import whole_file
from storage.files.lake import Lake
from storage.records import Split, bytes_digest
from storage.tables.digests import table_digest
from storage.tables.parquet import stamp
from storage.tables.shards import read_places
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion

_FACENET_PX = 160
# Increased when the same faces give a different projection.
_HISTOGRAMS_VERSION = 1
_LEAST_PEOPLE = 10
# Crops of a thread in memory at a time: about a megabyte, which of a bucket comes with one request.
_READ_AT_ONCE = 64


@dataclass(frozen=True)
class Embedder:
    """Embeds faces, and defines their alignment.

    Attributes:
        model, version: name in tables and paths.
        image_px: side of the square input.
        embed: maps squares, uint8 [n, px, px, 3], to unit rows, float32 [n, d], on a device; each row averages a face
            and its mirror image.
        is_aligned: whether landmarks are mapped to the template; otherwise the box fills the square.
    """

    model: str
    version: str
    image_px: int
    embed: Callable[[NDArray[np.uint8], torch.device], NDArray[np.float32]]
    is_aligned: bool = True

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"

    def square(self, jpeg: bytes, box_xyxy: Sequence[float], landmarks: Sequence[float] | None) -> NDArray[np.uint8]:
        """A crop as input of the embedder; box and landmarks in its pixels. Raises OSError if it cannot be decoded."""
        return face_square(jpeg, box_xyxy, landmarks if self.is_aligned else None, self.image_px)


def embed_crops(
    lake: Lake,
    faces: pa.Table,
    embedder: Embedder,
    device: torch.device,
    work_folder: Path,
    on_progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Embed crops: unit rows, float32 [n, d].

    Shards are embedded one by one and cached in the work folder under a digest of their inputs, so that a killed run
    resumes.

    Args:
        faces: accepted rows of `records.FACES`, at least one, and `shard`, the tar that holds the crop of each.
        on_progress: called with the number of faces just embedded or read from the cache.

    Raises:
        LakeError: a crop cannot be decoded.
    """
    shards = faces["shard"].cast(pa.string())
    rows, parts = [], []
    for shard in pc.unique(shards).to_pylist():
        inside = np.flatnonzero(pc.equal(shards, shard).to_numpy())
        parts.append(_embed_shard(lake, shard, faces.take(pa.array(inside)), embedder, device, work_folder))
        rows.append(inside)
        on_progress(len(inside))
    made: NDArray[np.float32] = np.concatenate(parts)[np.argsort(np.concatenate(rows))]
    return made


def _embed_shard(
    lake: Lake, tar: str, rows: pa.Table, embedder: Embedder, device: torch.device, work_folder: Path
) -> NDArray[np.float32]:
    rows = rows.select(["identity", "line", "crop_digest", "face_box_xyxy", "landmarks", "offset", "length"])
    kept = work_folder / "embeddings" / f"{stamp(str(embedder), table_digest(rows))}.npy"
    with suppress(FileNotFoundError):
        found: NDArray[np.float32] = np.load(kept)
        return found

    def squares(some: list[dict[str, Any]]) -> list[NDArray[np.uint8]]:
        crops = read_places(lake, [(tar, row["offset"], row["length"]) for row in some])
        return [square(row, jpeg) for row, jpeg in zip(some, crops, strict=True)]

    def square(row: dict[str, Any], jpeg: bytes) -> NDArray[np.uint8]:
        # What is kept must be of these crops, which another run may have replaced.
        if bytes_digest(jpeg) != row["crop_digest"]:
            raise LakeError(
                f"{lake.url}/{tar} has another crop of {row['identity']} {row['line']} than its index said: it was "
                "cropped again meanwhile, or is damaged; run the same command again, then `facemill check`"
            )
        try:
            return embedder.square(jpeg, row["face_box_xyxy"], row["landmarks"])
        except OSError as error:
            raise LakeError(
                f"the crop of {row['identity']} {row['line']} in {tar} cannot be decoded ({error}); delete the shard "
                "and crop again"
            ) from error

    # Pillow decodes and warps without the GIL, so threads use all cores.
    listed = rows.to_pylist()
    some = [listed[at : at + _READ_AT_ONCE] for at in range(0, len(listed), _READ_AT_ONCE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = embedder.embed(np.stack([one for part in pool.map(squares, some) for one in part]), device)
    _keep(kept, lambda file: np.save(file, made))
    return made


def _keep(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file of the work folder atomically."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        write(file)


def model_embedder(model: ModelVersion) -> Embedder:
    """The embedder of a model version.

    Raises:
        LakeError: a file of the version does not match its manifest.
    """
    embed_squares = partial(embed, load_backbone(model), flip_average=True)
    return Embedder(model.name, model.version, config_of(model).image_px, embed_squares)


def histogram_embedder(
    dataset: DatasetVersion, work_folder: Path, splits: Sequence[str] = (Split.TRAIN, Split.VAL, Split.TEST)
) -> Embedder:
    """The projection of `model.embedding.histograms`, fitted to a dataset version on first use.

    Args:
        work_folder: caches decoded faces and the fitted projection.
        splits: splits to fit to; by default all of the version, because it is not evaluated on any of them.

    Raises:
        UsageError: the splits have too few people.
    """
    version = stamp("histograms", _HISTOGRAMS_VERSION, dataset.state, list(splits))
    dataset.require("splits")
    num_people = sum(part["identities"] for name, part in dataset.manifest["splits"].items() if name in splits)
    if num_people < _LEAST_PEOPLE:
        raise UsageError(
            f"--fit-on {dataset} has {num_people} people, but fitting the projection needs at least {_LEAST_PEOPLE}"
        )

    @cache
    def projection() -> Projection:
        kept = work_folder / "histograms" / f"{version}.npz"
        if not kept.exists():
            parts = [load_faces(dataset, split, IMAGE_PX, cache_folder=work_folder / "faces") for split in splits]
            names = np.concatenate([np.array(part.identities)[part.labels] for part in parts if len(part)])
            labels = np.unique(names, return_inverse=True)[1]
            fitted = fit_projection(np.concatenate([part.images for part in parts]), labels)
            _keep(kept, lambda file: np.savez(file, **asdict(fitted)))
        return Projection(**np.load(kept))

    return Embedder("histograms", version, IMAGE_PX, lambda squares, _: projection().embed(squares))


def facenet_embedder(weights: Path) -> Embedder:
    """facenet-pytorch's InceptionResnetV1 with weights from a file, for a first pass before there is a model.

    It was trained on unaligned face boxes at 160 px. The file is read without unpickling code, and nothing is
    downloaded. The embedder's version is the file's digest.

    Raises:
        UsageError: the file does not exist, or contains other weights.
    """
    from facenet_pytorch import InceptionResnetV1  # noqa: PLC0415 - a machine kept for training may lack it

    network = InceptionResnetV1()
    try:
        data = weights.read_bytes()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        # The classifier of the training identities is not part of the embedding network.
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith("logits.")})
    except (OSError, UnpicklingError, RuntimeError, AttributeError) as error:
        raise UsageError(
            f"--weights {weights} must be a state dict of facenet-pytorch's InceptionResnetV1: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    embed_squares = partial(embed, _Facenet(network), flip_average=True)
    return Embedder("facenet", bytes_digest(data).hex()[:16], _FACENET_PX, embed_squares, is_aligned=False)


class _Facenet(nn.Module):
    """InceptionResnetV1, which expects inputs (x - 127.5) / 128 instead of (x - 127.5) / 127.5."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.network(images * (127.5 / 128))
        return embeddings
