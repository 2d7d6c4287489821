"""The paths of a lake, and the names that may stand in them."""

from __future__ import annotations

import pytest

from storage.errors import UsageError
from storage.files.paths import LakePaths

paths = LakePaths()


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "a@b", "-rf", "é", "x" * 101, "a\n"])
def test_a_name_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(UsageError, match="may have only letters"):
        paths.dataset(name)
    with pytest.raises(UsageError):
        paths.model(name)


def test_paths_are_relative_to_the_root():
    assert paths.dataset("faces") == "datasets/faces"
    assert paths.dataset("faces", "v1") == "datasets/faces/v1"
    assert paths.images("made", "0003-1") == "images/made/0003-1"
    assert paths.aliases("embedder") == "models/embedder/aliases"
    assert paths.tags("faces") == "datasets/faces/aliases"


def test_a_path_without_its_last_part_is_the_folder():
    assert paths.images("made") == "images/made"
    assert paths.unique("made") == "unique/made"
    assert paths.detections("made") == "detections/made"
    assert paths.faces("mtcnn", "made") == "faces/mtcnn/made"
