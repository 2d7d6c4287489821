"""A made dataset of drawn "people": a few coloured blobs each, jittered from picture to picture."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from model.configuration.config import TrainConfig
from model.embedding.align import TEMPLATE_112
from model.training.training_loop import train
from storage.files.lake import Lake
from storage.records import SAMPLES
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import create_shard
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import ModelVersion

CROP_PX = 80


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    # Two would wait for each other whenever something else has one of the cores: 75 s instead of 2, measured.
    torch.set_num_threads(1)


def draw_face(identity: int, face: int) -> tuple[bytes, tuple[float, ...]]:
    """A JPEG of the identity's blobs, moved and lit by chance, and where its five landmarks went."""
    who, how = np.random.default_rng((1, identity)), np.random.default_rng((2, identity, face))
    shift, light = how.integers(-6, 7, 2), how.integers(-40, 41)
    image = Image.new("RGB", (CROP_PX, CROP_PX), tuple(how.integers(90, 160, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = who.integers(15, CROP_PX - 15, 2) + shift
        radius = int(who.integers(4, 13))
        colour = tuple(np.clip(who.integers(0, 256, 3) + light, 0, 255).tolist())
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    landmarks = TEMPLATE_112 * (60 / 112) + 10 + shift
    return file.getvalue(), tuple(landmarks.ravel().tolist())


def sample_name(identity: int, face: int) -> str:
    """16 hex digits that tell, to people, which face it is."""
    return f"{identity:08}{face:08}"


def sample_row(identity: int, face: int, split: str, place: tuple[int, int], **changes: Any) -> dict[str, Any]:
    return {
        "sample": sample_name(identity, face),
        "identity": f"Person_{identity:03}",
        "split": split,
        "source": "drawn",
        "method": "mtcnn",
        "line": face,
        "url": f"http://drawn.invalid/{identity}/{face}.jpg",
        "image_digest": bytes(32),
        "cluster": bytes(32),
        "crop_digest": bytes(32),
        "width": CROP_PX,
        "height": CROP_PX,
        "face_box_xyxy": (10.0, 10.0, 70.0, 70.0),
        "face_px": 60.0,
        "shard": f"{split}-000.tar",
        "offset": place[0],
        "length": place[1],
        **changes,
    }


def write_dataset(lake: Lake, name: str, people: dict[str, int], faces_each: int) -> DatasetVersion:
    """Publish a dataset of `people[split]` identities with `faces_each` faces; even faces carry landmarks."""
    folder, rows, first = lake.dataset(name, "v1"), [], 0
    for split, count in people.items():
        with create_shard(lake, f"{folder}/{split}-000.tar") as shard:
            for identity in range(first, first + count):
                for face in range(faces_each):
                    data, landmarks = draw_face(identity, face)
                    place = shard.add(f"{sample_name(identity, face)}.jpg", data)
                    landmarks_or_none = landmarks if face % 2 == 0 else None
                    rows.append(sample_row(identity, face, split, place, landmarks=landmarks_or_none))
        first += count
    write_table(lake, f"{folder}/index.parquet", rows_to_table(rows, SAMPLES))
    manifest = {"published_at": "2026-01-01T00:00:00Z", "terms": "Drawn for a test; free of terms."}
    lake.write_json(f"{folder}/manifest.json", manifest)
    return open_dataset(lake, f"{name}@v1")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """16 people to train on, 4 for the threshold, 8 to be judged by, 6 faces each. Read only."""
    lake = Lake(tmp_path_factory.mktemp("drawn") / "lake")
    return write_dataset(lake, "drawn", {"train": 16, "val": 4, "test": 8}, faces_each=6)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrainConfig]:
    """A configuration that trains in about a second on drawn faces, with changes."""
    base = TrainConfig(
        name="tiny",
        width=0.25,
        embedding_dim=32,
        image_px=32,
        identities_per_batch=8,
        faces_per_identity=4,
        steps=20,
        warmup_steps=2,
        learning_rate=5e-3,
        device="cpu",
    )
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.fixture(scope="session")
def trained(
    drawn: DatasetVersion, tiny: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory
) -> ModelVersion:
    """A version trained on the drawn people. Read only."""
    folder = tmp_path_factory.mktemp("trained")
    return train(Lake(folder / "lake"), drawn, tiny(), work_folder=folder / "work")
