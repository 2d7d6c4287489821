from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.files.read_ahead import read_ahead


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return Lake(tmp_path if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize("num", [0, 1, 4, 5, 50])
def test_what_is_read_comes_in_order(lake: Lake, num: int) -> None:
    assert list(read_ahead(lake, str, range(num))) == [str(item) for item in range(num)]


def test_an_error_comes_where_its_item_does(lake: Lake) -> None:
    read = read_ahead(lake, lambda item: 1 / item, [1, 2, 0, 4])
    assert [next(read), next(read)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(read)


def test_of_a_disk_nothing_is_read_ahead(tmp_path: Path) -> None:
    read: list[int] = []
    found = read_ahead(Lake(tmp_path), read.append, range(10))
    next(found)
    assert read == [0]


def test_of_a_bucket_four_are_read_while_one_is_looked_at() -> None:
    all_read, read = threading.Barrier(5), []

    def wait(item: int) -> int:
        read.append(item)
        if 0 < item < 5:
            all_read.wait(60)
        return item

    found = read_ahead(Lake(f"memory://{uuid.uuid4().hex}"), wait, range(10))
    assert next(found) == 0
    # Four others are at it: with this one they are as many as the barrier waits for.
    all_read.wait(60)
    assert sorted(read) == [0, 1, 2, 3, 4]
    assert list(found) == list(range(1, 10))
