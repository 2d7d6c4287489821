from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.errors import FacemillError, LakeError, UsageError
from storage.files.atomic import whole_file
from storage.files.lake import FORMAT, Lake


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
from storage.files.lake import Lake
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


@contextmanager
def _removing(path: Path) -> Iterator[None]:
    """Remove a file as another run would: after its folder was listed, and before anything is done with the names."""
    listed = os.scandir

    @contextmanager
    def scandir(folder: str | int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with listed(folder) as entries:
            found = list(entries)
        path.unlink(missing_ok=True)
        yield iter(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield


@pytest.mark.parametrize("removed", ["a.json", "b.json", "c.json", ".tmp-0123"])
def test_a_file_that_another_run_removes_while_its_folder_is_listed_hides_no_other(
    tmp_path: Path, removed: str
) -> None:
    lake = Lake(tmp_path / "lake")
    for name in ("a.json", "b.json", "c.json"):
        lake.write(f"leases/all/{name}", b"{}")
    (tmp_path / "lake/leases/all/.tmp-0123").touch()

    with _removing(tmp_path / "lake/leases/all" / removed):
        found = lake.states("leases/all")
    assert found.keys() == {"a.json", "b.json", "c.json"} - {removed}


def test_a_file_that_another_run_removes_meanwhile_keeps_no_other_in_a_folder_that_is_removed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for name in ("a.json", "b.json", "c.json"):
        lake.write(f"plan/made/{name}", b"{}")

    with _removing(tmp_path / "lake/plan/made/b.json"):
        lake.remove("plan/made")
    assert lake.names("plan") == []


def test_a_lake_of_a_newer_format_is_refused_untouched(tmp_path):
    Lake(tmp_path).write_json("lake.json", {"format": FORMAT + 1})
    message = refusal(LakeError, tmp_path)

    assert f"format {FORMAT + 1}" in message
    assert f"up to {FORMAT}" in message
    assert "install" in message


@pytest.mark.parametrize("found", ["other", None, 0, -1, 1.5, True, [1], {}])
def test_a_lake_json_that_no_facemill_wrote_does_not_advise_to_install_a_newer_one(tmp_path, found):
    Lake(tmp_path).write_json("lake.json", {"format": found})
    message = refusal(LakeError, tmp_path)

    assert "which is unknown" in message and "restore it" in message
    assert "install" not in message


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


def test_the_work_folder_is_local_and_of_this_lake_alone(lake, tmp_path):
    assert lake.work_folder == Lake(lake.url).work_folder
    assert lake.work_folder != Lake(tmp_path / "other").work_folder
    assert lake.work_folder.is_absolute()


def test_a_disk_that_cannot_be_written_is_told_with_its_cause_and_leaves_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with pytest.raises(LakeError, match=r"plan/a\.parquet cannot be written: No space left on device; after that is"):  # noqa: SIM117
        with lake.create("plan/a.parquet") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert lake.names("plan") == []
    assert not list((tmp_path / "lake" / "plan").iterdir())


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("/proc/lake", "cannot be created"),
        ("/proc/self/lake/deeper", "cannot be created"),
        ("file/lake", "cannot be opened"),
        ("loop", "cannot be opened"),
        ("loop/lake", "cannot be opened"),
        ("x" * 300, "cannot be opened"),
        ("dangling", "cannot be created"),
    ],
)
def test_a_folder_that_cannot_be_a_lake_is_told_in_one_line(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("/proc/lake")
    with pytest.raises(FacemillError, match=message) as error:
        Lake(tmp_path / place).write("plan/made.parquet", b"")
    assert "\n" not in str(error.value) and place in str(error.value)


# -- nothing outside of the lake --


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "inner").mkdir(parents=True)
    (folder / "secret.txt").write_bytes(b"secret")
    (folder / "inner" / "deep.txt").write_bytes(b"secret")
    return folder


USES = {
    "exists": lambda lake, path: lake.exists(path),
    "size": lambda lake, path: lake.size(path),
    "names": lambda lake, path: lake.names(path),
    "open": lambda lake, path: lake.open(path),
    "open_end_first": lambda lake, path: lake.open_end_first(path, 100),
    "local_copy": lambda lake, path: lake.local_copy(path).__enter__(),
    "read": lambda lake, path: lake.read(path),
    "read a part": lambda lake, path: lake.read(path, 1, 2),
    "read_json": lambda lake, path: lake.read_json(path),
    "write": lambda lake, path: lake.write(path, b"new"),
    "write_once": lambda lake, path: lake.write_once(path, b"new"),
    "remove": lambda lake, path: lake.remove(path),
    "remove_file": lambda lake, path: lake.remove_file(path),
    "move from": lambda lake, path: lake.move(path, "quarantine/here"),
    "move to": lambda lake, path: lake.move("plan/made.parquet", path),
}


@pytest.mark.attack(6)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("path", ["plan/link/secret.txt", "plan/link/inner", "plan/link/new/deeper.txt"])
def test_nothing_is_done_behind_a_link_that_leads_out_of_the_lake(
    tmp_path: Path, outside: Path, use: str, path: str
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write("plan/made.parquet", b"mine")
    (tmp_path / "lake" / "plan" / "link").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(
        LakeError, match=r"links out of the lake, to .*mount --bind|No such file|cannot be read|is missing"
    ) as error:
        try:
            USES[use](lake, path)
        except FileNotFoundError as missing:
            raise LakeError(str(missing)) from missing
    assert "\n" not in str(error.value)
    assert sorted(outside.rglob("*")) == before and (outside / "secret.txt").read_bytes() == b"secret"
    assert lake.read("plan/made.parquet") == b"mine"


@pytest.mark.attack(6)
@pytest.mark.parametrize("use", ["exists", "size", "names", "open", "read", "read a part", "read_json"])
@pytest.mark.parametrize("target", ["secret.txt", "inner", "../../etc/passwd"])
def test_a_link_at_the_path_itself_is_not_read_through(tmp_path: Path, outside: Path, use: str, target: str) -> None:
    lake = Lake(tmp_path / "lake")
    lake.begin()
    (tmp_path / "lake" / "plan").symlink_to(outside / target)
    with pytest.raises((LakeError, FileNotFoundError)):
        USES[use](lake, "plan")


@pytest.mark.attack(6)
def test_removing_and_moving_a_link_leaves_what_it_leads_to(tmp_path: Path, outside: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write("plan/folder/made.parquet", b"mine")
    for name in ("one", "two", "folder/three"):
        (tmp_path / "lake" / "plan" / name).symlink_to(outside)
    lake.remove("plan/one")
    lake.move("plan/two", "quarantine/two")
    lake.remove("plan/folder")
    assert sorted(path.name for path in outside.rglob("*")) == ["deep.txt", "inner", "secret.txt"]
    assert lake.names("plan") == []


@pytest.mark.attack(6)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("path", ["../outside/secret.txt", "plan/../../outside", "/etc/passwd", "plan/..", "a\0b"])
def test_a_path_that_is_absolute_or_climbs_is_refused(lake: Lake, use: str, path: str) -> None:
    lake.write("plan/made.parquet", b"mine")
    with pytest.raises(LakeError, match="nothing is read or written outside of a lake"):
        USES[use](lake, path)
    assert lake.read("plan/made.parquet") == b"mine"


@pytest.mark.attack(6)
@pytest.mark.parametrize("path", ["work", "work/faces", "work/faces/one.npy"])
def test_a_work_folder_that_leads_out_of_the_lake_is_not_used(tmp_path: Path, outside: Path, path: str) -> None:
    lake = Lake(tmp_path / "lake")
    lake.begin()
    link = tmp_path / "lake" / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(LakeError, match="links out of the lake"):
        _ = lake.work_folder


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write("plan/made.parquet", b"")
    os.mkfifo(tmp_path / "lake" / "plan" / "pipe")
    (tmp_path / "lake" / "plan" / "folder").mkdir()
    with pytest.raises(LakeError, match="is not a file"):
        lake.read(f"plan/{kind}")


def test_the_lake_itself_may_be_a_link_and_links_within_it_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "lake").symlink_to(tmp_path / "disk")
    lake = Lake(tmp_path / "lake")
    lake.write("plan/made.parquet", b"mine")
    (tmp_path / "disk" / "plan" / "other.parquet").symlink_to("made.parquet")
    assert lake.read("plan/other.parquet") == Lake(tmp_path / "disk").read("plan/made.parquet") == b"mine"
    assert lake.names("plan") == ["made.parquet", "other.parquet"]


# -- private --


def modes(folder: Path) -> set[str]:
    return {f"{'d' if path.is_dir() else '-'}{path.stat().st_mode & 0o7777:o}" for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.attack(13)
@pytest.mark.parametrize("mask", [0, 0o022, 0o002, 0o077])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_lake_is_private_whatever_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, is_there: bool
) -> None:
    umask(mask)
    folder = tmp_path / "lake"
    if is_there:
        folder.mkdir(mode=0o755)
    lake = Lake(folder)
    lake.write("datasets/faces/v1/manifest.json", b"{}")
    lake.move("datasets/faces/v1", "quarantine/now/v1")
    with whole_file(lake.work_folder / "faces" / "one.npy") as temporary:
        temporary.write_bytes(b"")
    assert modes(folder) == {"d700", "-600"}


@pytest.mark.attack(13)
def test_a_lake_made_for_a_group_stays_the_group_s_for_every_later_writer(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(0o007)
    Lake(tmp_path / "lake").begin()
    umask(0o077)
    Lake(tmp_path / "lake").write("datasets/faces/v1/manifest.json", b"{}")
    assert modes(tmp_path / "lake") == {"d2770", "-660"}


@pytest.mark.attack(13)
def test_a_bucket_s_work_folder_is_in_the_user_s_cache_folder_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lake = Lake(f"memory://{uuid.uuid4().hex}")
    with whole_file(lake.work_folder / "faces" / "one.npy") as temporary:
        temporary.write_bytes(b"")
    assert lake.work_folder.parent == tmp_path / "cache" / "facemill"
    assert modes(tmp_path / "cache" / "facemill") == {"d700", "-600"}

    (tmp_path / "cache" / "facemill").chmod(0o777)
    assert modes(lake.work_folder.parent) == {"d700", "-600"}


@pytest.mark.attack(13)
@pytest.mark.parametrize("kind", ["link", "file", "of another user"])
def test_a_cache_folder_that_another_user_could_have_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "facemill"
    if kind == "link":
        (tmp_path / "other").mkdir()
        folder.symlink_to(tmp_path / "other")
    elif kind == "file":
        folder.write_bytes(b"")
    elif os.geteuid() == 0:
        folder.mkdir()
        os.chown(folder, 12345, 12345)
    else:
        pytest.skip("only root can give a folder to another user")
    with pytest.raises(LakeError, match="XDG_CACHE_HOME"):
        _ = Lake(f"memory://{uuid.uuid4().hex}").work_folder


# -- what names a lake --


@pytest.mark.case(14)
@pytest.mark.parametrize(
    "name",
    ["a::b", "zip::a", "::", "a:b", "C:\\lake", "s3:lake", "lake ", " lake", "#1", "50%", "a?b", "a*b", "[a]", "ä"],
)
def test_a_path_is_used_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    lake, absolute = Lake(name), Lake(tmp_path / name)
    lake.write("plan/made.parquet", name.encode())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert absolute.read("plan/made.parquet") == name.encode()
    assert absolute.names("plan") == ["made.parquet"] and absolute.size("plan/made.parquet") == len(name.encode())
    absolute.remove("plan")
    assert lake.names("") == ["lake.json"]


@pytest.mark.case(14)
@pytest.mark.parametrize("url", ["~", "~/lake", "~/a::b"])
def test_a_tilde_at_the_start_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Lake(url).root == str(tmp_path / url[2:])


@pytest.mark.case(14)
def test_a_file_url_is_an_absolute_path(tmp_path: Path) -> None:
    Lake(f"file://{tmp_path}/lake").write("plan/made.parquet", b"")
    assert Lake(tmp_path / "lake").names("plan") == ["made.parquet"]


@pytest.mark.case(14)
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("zip://a::b", "several file systems"),
        ("s3://a::b", "several file systems"),
        ("simplecache::s3://bucket/lake", "several file systems"),
        ("file:///tmp/a::b", "several file systems"),
        ("file://lake", "relative path"),
        ("file://", "is not a path"),
        ("file:/tmp/lake", "neither a path nor a URL"),
        ("s3:/bucket/lake", "neither a path nor a URL"),
        ("s3://", "names no bucket"),
        ("memory://", "names no bucket"),
        ("s3:// ", "names no bucket"),
        ("zip://a", "cannot"),
        ("http://127.0.0.1:9/lake", "cannot hold a lake"),
        ("nonsense://a", "cannot hold a lake"),
        ("", "is not a path"),
        ("  ", "is not a path"),
        ("a\0b", "is not a path"),
    ],
)
def test_a_url_that_names_no_lake_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as error:
        Lake(url)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
