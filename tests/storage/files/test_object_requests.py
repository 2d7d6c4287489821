"""How often a store is asked, and that what it says is complete."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from storage.files import stores
from storage.files.lake import Lake
from storage.files.object_requests import EndFirst, _pages, list_folder, read_bytes
from storage.tables.parquet import read_stamp, read_table, write_table
from tests.buckets import Faults

TABLE, FILE = "plan/made.parquet", "images/made/0000-0000-aaaaaa.tar"


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


def copy(lake: Lake) -> None:
    with lake.local_copy(FILE) as file:
        assert file.read_bytes() == b"0123456789"


ONCE: dict[str, tuple[str, Callable[[Lake], object]]] = {
    "open a lake": ("GET", lambda lake: Lake(lake.url)),
    "read a file": ("GET", lambda lake: lake.read(FILE)),
    "read a part": ("GET", lambda lake: lake.read(FILE, 2, 3)),
    "copy a file": ("GET", copy),
    "list a folder": ("GET", lambda lake: lake.names("images/made")),
    "list the states": ("GET", lambda lake: lake.states("images/made")),
    "list no folder": ("GET", lambda lake: lake.names("takedowns")),
    "read a table": ("GET", lambda lake: read_table(lake, TABLE)),
    "read a column": ("GET", lambda lake: read_table(lake, TABLE, ["b"])),
    "read a stamp": ("GET", lambda lake: read_stamp(lake, TABLE)),
    "read no stamp": ("GET", lambda lake: read_stamp(lake, "plan/other.parquet")),
    "write a file": ("PUT", lambda lake: lake.write(FILE, b"new")),
    "write a file once": ("PUT", lambda lake: lake.write_once("plan/new", b"new")),
    "remove a file": ("DELETE", lambda lake: lake.remove_file(FILE)),
}


def test_a_store_is_asked_once_for_each_of_these(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write(FILE, b"0123456789")
    write_table(lake, TABLE, pa.table({"a": range(1000), "b": range(1000)}), stamp="made")
    found = {}
    for name, (_, use) in ONCE.items():
        with faults.asking() as asked:
            use(lake)
        found[name] = [method for method, _ in asked]
    assert found == {name: [method] for name, (method, _) in ONCE.items()}


def test_a_folder_is_removed_with_a_listing_and_one_request_for_all_its_files(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    for name in ("merged/a/1", "merged/a/2", "merged/b", "merged2/c"):
        lake.write(name, b"x")
    with faults.asking() as asked:
        lake.remove("merged")
    assert [method for method, _ in asked] == ["GET", "POST"]
    assert lake.names("") == ["lake.json", "merged2"]


def test_a_listing_of_several_pages_is_read_to_its_end(bucket: str) -> None:
    lake = Lake(f"{bucket}/lake")
    for number in range(5):
        lake.write(f"plan/{number}", b"x")
    pages = [*_pages(lake.fs, bucket.removeprefix("s3://"), "lake/plan/", MaxKeys=2)]
    assert [len(page["Contents"]) for page in pages] == [2, 2, 1]


def test_names_that_start_alike_are_listed_alone(lake: Lake) -> None:
    for name in ("0001-0000-a.tar", "0001-0001-b.tar", "0010-0000-c.tar", "0001/deep"):
        lake.write(f"images/made/{name}", b"x")
    assert lake.names("images/made", "0001-") == ["0001-0000-a.tar", "0001-0001-b.tar"]
    assert lake.names("images/made", "0002-") == []
    assert lake.names("images/none", "0001-") == []


def test_a_copy_is_removed_after_the_block(lake: Lake) -> None:
    lake.write(FILE, b"0123456789")
    with lake.local_copy(FILE) as file:
        assert file.read_bytes() == b"0123456789"
    assert file.exists() == lake.is_local
    with pytest.raises(FileNotFoundError), lake.local_copy("images/made/other.tar"):
        pass
    assert lake.unclaimed() == []


@pytest.mark.parametrize("num_bytes", [0, 1, 98, 99, 100, 101, 1000])
def test_a_file_that_is_read_from_its_end_has_all_its_bytes(lake: Lake, num_bytes: int) -> None:
    data = np.random.default_rng(num_bytes).bytes(num_bytes)
    lake.write(FILE, data)
    with lake.open_end_first(FILE, 100) as file:
        assert file.seek(0, io.SEEK_END) == num_bytes
        for start in range(0, num_bytes, num_bytes // 5 + 1):
            file.seek(start)
            assert file.read(29) == data[start : start + 29]
        file.seek(num_bytes // 2)
        assert file.read() == data[num_bytes // 2 :]
        assert file.tell() == num_bytes


def test_of_a_large_file_ranges_are_read(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write(FILE, bytes(1000))
    with faults.asking() as asked:
        file = EndFirst(lake.fs, lake.full(FILE), 100)
        assert file.read(50) == bytes(50)
        assert file.seek(-90, io.SEEK_END) == 910
        assert file.read(40) == bytes(40)
    # Its end, its length, and the bytes that are not in its end.
    assert [method for method, _ in asked] == ["GET", "HEAD", "GET"]


def test_a_file_of_less_than_two_parts_is_uploaded_as_a_whole_and_a_larger_one_by_parts(
    bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.begin()
    # The least that S3 takes as a part.
    monkeypatch.setattr(stores, "_PART_BYTES", 5 * 2**20)
    data = np.random.default_rng(0).bytes(12 * 2**20)
    for num_bytes, methods in ((9 * 2**20, ["PUT"]), (len(data), ["POST", "PUT", "PUT", "PUT", "POST"])):
        with faults.asking() as asked:
            lake.write(FILE, data[:num_bytes])
        assert [method for method, _ in asked] == methods
        assert read_bytes(lake.fs, lake.full(FILE)) == data[:num_bytes]


def test_a_state_says_what_a_file_holds_where_the_store_gives_its_digest(lake: Lake) -> None:
    lake.write(FILE, b"mine")
    state = lake.states("images/made")[FILE.rpartition("/")[2]]
    assert lake.is_content(state, b"mine") == lake.url.startswith("s3:")
    assert not lake.is_content(state, b"mind")
    assert not lake.is_content("", b"")


class Disturbed(MemoryFileSystem):
    """A store in memory in which another thread adds or removes files during the first listings."""

    cachable = False

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise (KeyError, RuntimeError)[self.left % 2]
        return super().ls(path, detail, **options)


def test_a_listing_that_another_thread_disturbs_is_made_again():
    store = Disturbed(3)
    store.pipe_file("/disturbed/one", b"1")
    assert [file["name"] for file in list_folder(store, "/disturbed")] == ["/disturbed/one"]
    with pytest.raises(RuntimeError):
        list_folder(Disturbed(1000), "/disturbed")
