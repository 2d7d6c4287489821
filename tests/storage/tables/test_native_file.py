"""Arrow holds no Python object while it reads a table, since its threads may let go of one when Python is ending."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.tables.native_file import native_buffer, native_file
from storage.tables.parquet import read_table, write_table

DATA, FILE = bytes(range(100)), "plan/made.parquet"


def read(lake: Lake, num_bytes: int) -> tuple[bool, bytes]:
    """Whether a file is read without Python, and what it holds."""
    with lake.open_end_first(FILE, num_bytes) as file:
        native = native_file(file)
        return isinstance(native, pa.NativeFile), native.read()


def test_a_file_on_this_machine_and_a_small_one_of_a_bucket_are_read_without_python(lake_anywhere: Lake) -> None:
    lake_anywhere.write(FILE, DATA)
    assert read(lake_anywhere, 1000) == (True, DATA)


def test_a_large_file_of_a_bucket_is_read_in_parts(bucket: str) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write(FILE, DATA)
    assert read(lake, 50) == (False, DATA)


def test_a_file_that_was_replaced_after_it_was_opened_is_read_as_it_was(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(FILE, DATA)
    with lake.open_end_first(FILE, 1000) as file:
        lake.write(FILE, b"other")
        assert native_file(file).read() == DATA


class OnlyOpened(io.FileIO):
    """A file of which Python reads nothing."""

    def readinto(self, buffer: Any) -> int:
        raise AssertionError("Python reads it")

    read = readall = readinto  # type: ignore[assignment]


class OnlyOpens(Lake):
    def open(self, path: str) -> IO[bytes]:
        return OnlyOpened(self.full(path))


def test_a_table_is_read_by_arrow_alone(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, 3]})
    write_table(Lake(tmp_path / "lake"), FILE, table)
    assert read_table(OnlyOpens(tmp_path / "lake"), FILE).equals(table)


def test_what_has_no_number_of_the_system_is_read_as_it_is() -> None:
    file = io.BytesIO(DATA)
    assert native_file(file) is file


@pytest.mark.parametrize("data", [b"", DATA], ids=["none", "some"])
def test_a_copy_in_memory_of_arrow_has_the_same_bytes(data: bytes) -> None:
    assert native_buffer(data).to_pybytes() == data
