"""Files are there whole or not at all, and only what a dead writer left is removed."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.files.atomic import Writer, is_left, make_folder, sweep, unfinished, whole_file, writer_of
from storage.files.lake import Lake
from storage.files.processes import process_mark

# Writes half a file of a lake, says so, and ends the block when its input is closed.
WRITER = """
import sys
from storage.files.lake import Lake
lake, _, path = sys.argv[1].partition("//")
with Lake(lake).create(path) as temporary:
    temporary.write_bytes(b"half")
    print(temporary, flush=True)
    sys.stdin.read()
"""
NEW_SPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
# In a space of its own the writer is process 1; with this it is process 3.
LATER = ("sh", "-c", 'true & wait; "$@"; exit $?', "sh")


def has_pid_namespaces() -> bool:
    try:
        return subprocess.run([*NEW_SPACE, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


needs_pid_namespaces = pytest.mark.skipif(not has_pid_namespaces(), reason="this user may not make a pid namespace")


@contextmanager
def writer(lake: Path, path: str, *before: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the middle of writing `path`, and its temporary file."""
    command = [*before, sys.executable, "-c", WRITER, f"{lake}//{path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def killed_writer(lake: Path, path: str, *before: str) -> Path:
    with writer(lake, path, *before) as (process, temporary):
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        return temporary


def temporary_of(*, machine: str | None = None, pid: int | None = None, started: str | None = None) -> str:
    """The temporary name of a process that differs from this one in what is given."""
    words = process_mark().split("-")
    given = [machine, None if pid is None else str(pid), started]
    return f".tmp-{'-'.join(new or old for new, old in zip(given, words, strict=True))}-{uuid.uuid4().hex}"


def age(path: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_a_file_is_whole_or_not_there_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "one.npz"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"old")
        assert not path.exists() and temporary.suffix == ".npz"
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_once_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"first")
    with pytest.raises(FileExistsError), whole_file(path, once=True) as temporary:
        temporary.write_bytes(b"second")
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with whole_file(path) as temporary:
        assert temporary == path
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_the_next_writer_of_a_folder_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    left = killed_writer(tmp_path, "work/faces/one.npy")
    assert left.exists()
    with whole_file(tmp_path / "work" / "faces" / "two.npy"):
        assert not left.exists()


def test_what_a_running_writer_has_in_hand_stays(tmp_path: Path) -> None:
    with writer(tmp_path, "plan/one") as (process, temporary):
        age(temporary, 1000)
        Lake(tmp_path).write("plan/two", b"")
        assert writer_of(temporary) is Writer.RUNS and not is_left(temporary)
        process.communicate("")
    assert (tmp_path / "plan" / "one").read_bytes() == b"half"


@needs_pid_namespaces
def test_writers_in_two_pid_namespaces_leave_each_other_s_files_alone(tmp_path: Path) -> None:
    """Two containers on the network of one host have its name, and the same process numbers."""
    with (
        writer(tmp_path, "plan/one", *NEW_SPACE, *LATER) as (first, half),
        writer(tmp_path, "plan/two", *NEW_SPACE) as (second, _),
    ):
        assert half.exists()
        assert writer_of(half) is Writer.UNKNOWN
        for process in (first, second):
            process.communicate("")
            assert process.returncode == 0
    assert Lake(tmp_path).names("plan") == ["one", "two"]


@needs_pid_namespaces
def test_what_a_container_left_is_found_after_an_hour_and_never_removed_unasked(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    left = killed_writer(tmp_path, "work/faces/one.npy", *NEW_SPACE)
    with whole_file(left.with_name("two.npy")):
        assert left.exists()
    assert lake.leftovers() == []
    age(left, 1.1)
    assert lake.leftovers() == [f"work/faces/{left.name}"]
    with whole_file(left.with_name("two.npy")):
        assert left.exists()


def test_a_process_number_that_is_used_again_is_told_by_its_start(tmp_path: Path) -> None:
    running = tmp_path / temporary_of()
    reused = tmp_path / temporary_of(started="1")
    ended = tmp_path / temporary_of(pid=2**22 + 1)
    elsewhere = tmp_path / temporary_of(machine="0123456789ab", pid=2**22 + 1)
    for path in (running, reused, ended, elsewhere):
        path.write_bytes(b"half")
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {running, elsewhere}


OLD_NAMES = (
    ".tmp-my_host-4194305-0123456789abcdef0123456789abcdef",
    ".tmp-0123456789abcdef0123456789abcdef",
    ".tmp-0123456789abcdef0123456789abcdef.npz",
    ".tmp-unknown-0123",
    ".tmp-",
)


@pytest.mark.parametrize("name", OLD_NAMES)
@pytest.mark.parametrize("folder", ["plan", "images/made", "work/faces", "datasets/faces/v1", ""])
def test_what_an_earlier_release_left_is_found_after_an_hour(tmp_path: Path, folder: str, name: str) -> None:
    lake = Lake(tmp_path)
    lake.begin()
    path = tmp_path / folder / name
    make_folder(path.parent)
    path.write_bytes(b"half")
    sweep(path.parent)
    assert path.exists() and lake.leftovers() == []
    age(path, 1.1)
    assert lake.leftovers() == [f"{folder}/{name}".lstrip("/")]
    assert lake.unclaimed() == lake.leftovers()


def test_a_search_for_temporary_files_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".tmp-0123").write_bytes(b"")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    assert list(unfinished(inside)) == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("above", "folder", "file"), [(0o700, 0o700, 0o600), (0o2770, 0o2770, 0o660), (0o755, 0o777, 0o666)]
)
@pytest.mark.usefixtures("loose_umask")
def test_rights_follow_the_folder_where_it_is_closed_to_others(
    tmp_path: Path, above: int, folder: int, file: int
) -> None:
    tmp_path.chmod(above)
    with whole_file(tmp_path / "a" / "b" / "file") as temporary:
        temporary.write_bytes(b"")
        assert mode(temporary) == file
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/file")] == [folder, folder, file]


def test_the_mark_of_a_process_can_stand_in_a_name() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}-\d+-\d+", process_mark())
