"""LFW from a folder on disk: drawn people in the layouts in which it is found."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.evaluate import aligned_face, read_pairs, read_photos
from storage.errors import SourceError

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"
PAIRS = "2\t1\nAda\t1\t2\nBo\t1\tCyd\t1\nBo\t1\t2\nAda\t1\tCyd\t1\n"


def write_lfw(folder: Path, below: str = "images") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pairs.txt").write_text(PAIRS)
    for number, name in enumerate(("Ada/Ada_0001", "Ada/Ada_0002", "Bo/Bo_0001", "Bo/Bo_0002", "Cyd/Cyd_0001")):
        path = folder / below / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (250, 250), (40 * number, 90, 120)).save(path)
    return folder


@pytest.mark.parametrize("below", ["images", "lfw", "."])
def test_photos_are_found_in_every_layout(tmp_path: Path, below: str) -> None:
    folder = write_lfw(tmp_path / "lfw", below)
    photos = read_photos(folder, read_pairs(folder))
    assert len(photos) == 5
    assert all(data.startswith(b"\xff\xd8") for data in photos.values())


def test_a_missing_list_and_missing_photos_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"contains no pairs\.txt"):
        read_pairs(tmp_path)
    folder = write_lfw(tmp_path / "lfw")
    (folder / "images" / "Bo" / "Bo_0002.jpg").unlink()
    with pytest.raises(SourceError, match=r"lacks 1 of the 5 photos .* first Bo/Bo_0002\.jpg"):
        read_photos(folder, read_pairs(folder))


def test_a_photo_without_a_face_is_cut_out_where_faces_usually_are() -> None:
    file = BytesIO()
    Image.new("RGB", (250, 250), (10, 200, 90)).save(file, "JPEG")
    face, is_found = aligned_face("Ada", file.getvalue(), 64)
    assert not is_found
    assert face.shape == (64, 64, 3)
    assert np.abs(face.astype(int) - (10, 200, 90)).max() < 5


def test_a_file_that_is_no_picture_is_named() -> None:
    with pytest.raises(SourceError, match=r"the photo Ada/Ada_0001\.jpg of --lfw cannot be decoded"):
        aligned_face("Ada/Ada_0001.jpg", b"no picture", 64)


@pytest.mark.data
@pytest.mark.skipif(not LFW.exists(), reason="the photographs of ../shared/data/lfw are not here")
def test_the_real_list_has_its_folds_its_photos_and_a_face_in_the_first_of_them() -> None:
    pairs = read_pairs(LFW)
    photos = read_photos(LFW, pairs)
    same = pairs.labels[pairs.left] == pairs.labels[pairs.right]
    assert np.bincount(pairs.fold, same).tolist() == [300] * 4
    assert (len(same), len(photos)) == (2400, 3074)
    assert aligned_face("first", next(iter(photos.values())), 112)[1]
