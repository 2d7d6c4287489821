"""A missing or damaged file of a lake ends what reads it with one line that names `facemill check`."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model.embedding.data import load_faces
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import Split
from storage.versions.datasets import open_dataset
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def publish(lake: Lake) -> None:
    """Publish anew: everything from the plan to the crops is read."""
    lake.remove("datasets")
    lake.remove("unique")
    publish_source(lake, Request("faces-mtcnn", "synthetic", "mtcnn", SelectRules(min_face_px=40)))


def load(lake: Lake) -> None:
    """What training does first."""
    load_faces(open_dataset(lake, "faces-mtcnn"), Split.TRAIN, 112, cache_folder=None)


EACH = {
    "links/*/lines.parquet": publish,
    "links/*/origin.json": publish,
    "images/*/0000-0000-*.parquet": publish,
    "detections/*/0000-0000-*.parquet": publish,
    "faces/mtcnn/*/0000-0000-*.parquet": publish,
    "faces/mtcnn/*/0000-0000-*.tar": publish,
    "datasets/faces-mtcnn/*/index.parquet": load,
    "datasets/faces-mtcnn/*/train-*.tar": load,
}
# Without its index a shard is none, and without a table its stage is due: that is no damage to who reads.
DUE = {pattern for pattern in EACH if pattern.split("/")[0] in {"images", "detections", "faces"}} - {
    "faces/mtcnn/*/0000-0000-*.tar"
}


@pytest.mark.parametrize(
    ("pattern", "damage"), [(one, how) for one in EACH for how in (remove, cut) if how is cut or one not in DUE]
)
def test_what_is_missing_or_cut_ends_in_one_line(tmp_path: Path, pattern: str, damage: Callable[[Path], None]) -> None:
    with tarfile.open(Path(__file__).parent / "format-1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (path,) = (tmp_path / "lake").glob(pattern)
    damage(path)
    with pytest.raises(LakeError, match="facemill check") as error:
        EACH[pattern](Lake(tmp_path / "lake"))
    assert "\n" not in str(error.value)
