from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from storage.errors import FacemillError, LakeError, UsageError
from storage.lake import FORMAT, Lake


@pytest.fixture(params=["local", "memory", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake on this disk, and in two object stores."""
    if request.param == "s3":
        return Lake(f"{request.getfixturevalue('bucket')}/lake")
    return Lake(tmp_path / "lake" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def refusal(kind: type[FacemillError], folder: Path) -> str:
    """The message with which `folder` is refused as a lake, after a look that nothing was written."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(kind) as error:
        Lake(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_what_is_written_is_read_back(lake):
    lake.write("images/made/0000-0.tar", b"0123456789")
    lake.write_json("links/made/origin.json", {"digest": "abc", "name": "Zoë"})

    assert lake.read("images/made/0000-0.tar") == b"0123456789"
    assert lake.read("images/made/0000-0.tar", 3, 4) == b"3456"
    assert lake.read_json("links/made/origin.json") == {"digest": "abc", "name": "Zoë"}
    with lake.open("images/made/0000-0.tar") as file:
        assert file.read(2) == b"01"


def test_names_are_sorted_and_none_where_there_is_no_folder(lake):
    for name in ("0001-0", "0000-1", "0000-0"):
        lake.write(lake.images("made", name), b"")

    assert lake.names("images/made") == ["0000-0", "0000-1", "0001-0"]
    assert lake.names("images") == ["made"]
    assert lake.names("images/other") == []


def test_moving_takes_a_file_or_a_folder_with_all_it_holds(lake):
    for path in ("plan/made.parquet", "datasets/faces/v1/index.parquet", "datasets/faces/v1/train-0.tar"):
        lake.write(path, path.encode())
    lake.move("plan/made.parquet", "quarantine/now/plan/made.parquet")
    lake.move("datasets/faces/v1", "quarantine/now/datasets/faces/v1")

    assert lake.read("quarantine/now/plan/made.parquet") == b"plan/made.parquet"
    assert lake.names("quarantine/now/datasets/faces/v1") == ["index.parquet", "train-0.tar"]
    assert not lake.exists("plan/made.parquet") and lake.names("datasets/faces/v1") == []


def test_a_file_has_a_size_and_what_is_missing_has_none(lake):
    lake.write("plan/made.parquet", b"12345")

    assert (lake.size("plan/made.parquet"), lake.size("plan/other.parquet")) == (5, None)


def test_what_a_killed_writer_left_is_named_and_what_a_living_one_writes_is_not(tmp_path):
    lake = Lake(tmp_path)
    with lake.create("plan/made.parquet") as temporary:
        temporary.write_bytes(b"half")
        dead = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))
        dead.write_bytes(b"half")
        assert lake.leftovers() == [f"plan/{dead.name}"]


def test_removing_takes_a_file_or_a_folder_and_minds_nothing_missing(lake):
    for path in ("plan/made.parquet", "work/a/b", "work/c"):
        lake.write(path, b"x")
    for path in ("plan/made.parquet", "work", "work", "never/there"):
        lake.remove(path)

    assert not lake.exists("plan/made.parquet")
    assert not lake.exists("work/c")


def test_a_write_that_fails_midway_leaves_nothing(lake):
    with pytest.raises(KeyboardInterrupt), lake.create("plan/made.parquet") as temporary:
        temporary.write_bytes(b"half of")
        raise KeyboardInterrupt

    assert not lake.exists("plan/made.parquet")
    assert [path for path in lake.fs.find(lake.root) if "plan" in path] == []


def test_a_write_that_fails_midway_leaves_what_was_there_before(lake):
    lake.write("plan/made.parquet", b"old")
    with pytest.raises(ZeroDivisionError), lake.create("plan/made.parquet") as temporary:
        temporary.write_bytes(b"new")
        raise ZeroDivisionError

    assert lake.read("plan/made.parquet") == b"old"
    assert lake.names("plan") == ["made.parquet"]


def kill_a_writer(folder: Path) -> None:
    """Kill a process in the middle of writing `plan/made.parquet`."""
    program = """
import os, sys
from storage.lake import Lake
with Lake(sys.argv[1]).create("plan/made.parquet") as temporary:
    temporary.write_bytes(b"half of")
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program, folder], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((folder / "plan").iterdir())) == 1


def test_what_a_killed_writer_leaves_behind_is_hidden_and_swept_by_the_next(tmp_path):
    kill_a_writer(tmp_path)
    lake = Lake(tmp_path)
    assert lake.names("plan") == []
    assert not lake.exists("plan/made.parquet")

    lake.write("plan/other.parquet", b"")
    assert [path.name for path in (tmp_path / "plan").iterdir()] == ["other.parquet"]


def test_what_a_living_writer_has_in_hand_is_not_swept(tmp_path):
    lake = Lake(tmp_path)
    with lake.create("plan/made.parquet") as temporary:
        temporary.write_bytes(b"whole")
        Lake(tmp_path).write("plan/other.parquet", b"")

    assert lake.read("plan/made.parquet") == b"whole"


def test_the_first_write_stamps_the_format_and_reading_writes_nothing(lake):
    assert lake.names("datasets") == []
    assert not lake.exists("lake.json")
    lake.write("plan/made.parquet", b"")

    assert lake.read_json("lake.json") == {"format": FORMAT}
    assert Lake(lake.url).names("plan") == ["made.parquet"]


def test_an_empty_folder_and_one_with_leftovers_of_a_killed_write_can_become_lakes(tmp_path):
    Lake(tmp_path).write("plan/one.parquet", b"")
    killed_at_the_first_write = tmp_path / "other"
    killed_at_the_first_write.mkdir()
    (killed_at_the_first_write / ".tmp-0123").write_text("{")

    assert Lake(killed_at_the_first_write).names("") == []


@pytest.mark.parametrize("found", [FORMAT + 1, "one", None])
def test_a_lake_of_a_newer_format_is_refused_untouched(tmp_path, found):
    Lake(tmp_path).write_json("lake.json", {"format": found})
    message = refusal(LakeError, tmp_path)

    assert f"format {found}" in message
    assert f"up to {FORMAT}" in message
    assert "install" in message


def test_a_folder_that_is_no_lake_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")

    assert "no lake.json" in refusal(UsageError, tmp_path)


def test_a_file_is_refused_as_a_lake(tmp_path):
    path = tmp_path / "lake"
    path.write_text("precious")

    assert "is a file" in refusal(UsageError, path)
    assert path.read_text() == "precious"


def test_a_pickled_lake_is_the_same_lake(lake):
    lake.write("plan/made.parquet", b"here")
    copy = pickle.loads(pickle.dumps(lake))  # noqa: S301

    assert copy.url == lake.url
    assert copy.read("plan/made.parquet") == b"here"


@pytest.mark.parametrize("data", [b"{", b"", b"[1]", b"null", b"\xff"])
def test_broken_json_is_an_error_that_names_the_file(lake, data):
    lake.write("links/made/origin.json", data)
    with pytest.raises(LakeError, match=r"links/made/origin\.json (is not JSON|holds a JSON)"):
        lake.read_json("links/made/origin.json")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "a@b", "-rf", "é", "x" * 101, "a\n"])
def test_a_name_that_could_leave_its_folder_is_refused(lake, name):
    with pytest.raises(UsageError, match="may hold only letters"):
        lake.dataset(name)
    with pytest.raises(UsageError):
        lake.model(name)


def test_paths_are_relative_to_the_root(lake):
    assert lake.dataset("faces") == "datasets/faces"
    assert lake.dataset("faces", "v1") == "datasets/faces/v1"
    assert lake.images("made") == "images/made"
    assert lake.images("made", "0003-1") == "images/made/0003-1"
    assert lake.unique("made") == "unique/made"


def test_the_work_folder_is_local_and_of_this_lake_alone(lake, tmp_path):
    assert lake.work_folder == Lake(lake.url).work_folder
    assert lake.work_folder != Lake(tmp_path / "other").work_folder
    assert lake.work_folder.is_absolute()


def test_a_disk_that_cannot_be_written_is_told_with_its_cause_and_leaves_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with pytest.raises(LakeError, match=r"plan/a\.parquet cannot be written: No space left on device; once that is"):  # noqa: SIM117
        with lake.create("plan/a.parquet") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert lake.names("plan") == []
    assert not list((tmp_path / "lake" / "plan").iterdir())
