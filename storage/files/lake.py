"""The lake: reads and atomic writes in a folder or a bucket. Its paths are in `paths`."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from storage.errors import LakeError, UsageError
from storage.files.atomic import PREFIX, Writer, is_left, make_folder, temporary_file, unfinished, whole_file, writer_of
from storage.files.kept_listings import KeptListings, Listing
from storage.files.object_requests import (
    EndFirst,
    download,
    list_folder,
    listed_state,
    read_bytes,
    remove_all,
    remove_file,
)
from storage.files.paths import REPORTS, LakePaths
from storage.files.permissions import cache_folder, make_private
from storage.files.stores import Upload, abort_upload, asking, lost_uploads, open_store, upload
from storage.text.json_shapes import parse_object

FORMAT = 1
# A full disk or quota, a file system or folder that is read-only, a file too large for it, a disk that fails.
CANNOT_WRITE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ESTALE,
}  # fmt: skip
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Where a lake may be written to. What else fsspec opens is read-only, or lies within another file system.
_SCHEMES = ("file", "memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")


class Lake(LakePaths):
    """A folder, local or in an object store, with all data of facemill.

    Args:
        url: a path, or a URL that fsspec understands (`s3://bucket/lake`).

    Raises:
        LakeError: the folder was written by a newer facemill, or not by facemill.
        UsageError: it holds something that is not a lake, cannot be opened, or is a URL of a kind that holds no lake.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self.fs, root = open_store(self.url, _SCHEMES)
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._real_root = os.path.realpath(self.root) if self.is_local else self.root
        self._has_begun = False
        self._listings = KeptListings()
        self._swept: set[Path] = set()
        self._check_format()

    def __reduce__(self) -> tuple[type[Lake], tuple[str]]:
        return Lake, (self.url,)

    # -- local folders --

    @property
    def work_folder(self) -> Path:
        """A local folder for disposable files: decoded pictures, checkpoints of unfinished trainings.

        For a lake in a bucket it lies in the user's cache folder, which is made, open to this user alone.

        Raises:
            LakeError: it, or something in it, is a link, or the cache folder belongs to another user.
        """
        if not self.is_local:
            return cache_folder() / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        folder = self.local_folder("work")
        for place, folders, files in os.walk(folder):
            for name in (name for name in (*folders, *files) if Path(place, name).is_symlink()):
                self._inside(Path(place, name).relative_to(self.root).as_posix())
        return folder

    def report_file(self, name: str, version: str, *, of_model: bool = False) -> Path:
        """The file of the HTML report on a dataset or model version, whether or not it exists."""
        return self.work_folder / self.report(name, version, of_model=of_model)

    @property
    def reports_folder(self) -> Path:
        """The folder of the HTML reports, existing or not."""
        return self.work_folder / REPORTS

    def local_folder(self, path: str) -> Path:
        """A folder of a local lake, existing or not, for code that writes its own files.

        Raises:
            LakeError: it is a link that leads out of the lake.
        """
        return Path(self._inside(path))

    # -- path resolution --

    def full(self, path: str) -> str:
        """The path for the underlying file system.

        Raises:
            LakeError: it is absolute, or holds `..`.
        """
        if path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise LakeError(
                f"{self.url} has no path {path!r}: nothing is read or written outside of a lake; run `facemill check`"
            )
        return f"{self.root}/{path}"

    def _inside(self, path: str, *, follows: bool = True) -> str:
        """The full path of something that lies in the lake when all links are followed.

        Args:
            follows: a link at the path itself counts too, not only those on the way there.

        Raises:
            LakeError: a link leads out of the lake.
        """
        full = self.full(path)
        if self.is_local:
            self._refuse_outside(path, os.path.realpath(full if follows else os.path.dirname(full)))  # noqa: PTH120
        return full

    def _refuse_outside(self, path: str, real: str) -> None:
        if real != self._real_root and not real.startswith(f"{self._real_root.rstrip('/')}/"):
            raise LakeError(
                f"{self.url}/{path} links out of the lake, to {real}, where nothing is read or written; "
                "remove the link, or to keep a folder of the lake on another disk, mount that folder in its place "
                "(mount --bind)"
            )

    def _open_local(self, path: str) -> IO[bytes]:
        """Open a file, then check its real path; this is cheaper than resolving the path first."""
        # Opening a pipe must not block.
        handle = os.open(self.full(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._refuse_outside(path, _place_of(handle, self.full(path)))
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise LakeError(f"{self.url}/{path} is not a file: run `facemill check`")
        except LakeError:
            os.close(handle)
            raise
        return os.fdopen(handle, "rb")

    # -- reading --

    def _asking(self, path: str) -> AbstractContextManager[None]:
        """Translate errors of the store or disk in the block to a one-line LakeError."""
        return _reading(f"{self.url}/{path}") if self.is_local else asking(f"{self.url}/{path}")

    def exists(self, path: str) -> bool:
        """Whether a file or folder exists."""
        with self._asking(path):
            return bool(self.fs.exists(self._inside(path)))

    def size(self, path: str) -> int | None:
        """The length of a file in bytes; None if it does not exist."""
        with self._asking(path), suppress(FileNotFoundError):
            return int(self.fs.size(self._inside(path)))
        return None

    def names(self, folder: str, start: str = "") -> list[str]:
        """The names in a folder, sorted; empty if it does not exist. Unfinished writes are left out.

        Args:
            start: only those that start so; of a bucket no others are listed.
        """
        found: list[str] = []
        with self._asking(folder), suppress(FileNotFoundError):
            if self.is_local and not self._listings.are_kept:
                found = self.fs.ls(self._inside(folder), detail=False)  # without asking for the state of each file
            else:
                found = [*self._listing(folder, start)]
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in found)
        return sorted(name for name in names if name.startswith(start) and not name.startswith(PREFIX))

    def _listing(self, folder: str, start: str = "") -> Listing:
        """The files and folders in a folder."""
        if start:
            return self._listed(folder, start)
        return self._listings.of(folder.rstrip("/"), lambda: self._listed(folder))

    def _listed(self, folder: str, start: str = "") -> Listing:
        if self.is_local:
            return _scanned(self._inside(folder))
        listed = list_folder(self.fs, self.full(folder).rstrip("/"), start)
        return {one["name"].rstrip("/").rpartition("/")[2]: _state_listed(one) for one in listed}

    def listing_once(self) -> AbstractContextManager[None]:
        """Have each folder listed once for the block, in which nothing waits for other runs.

        What this object writes is seen at once, what others write is after the block; leases and takedowns are always.
        """
        return self._listings.kept()

    def states(self, folder: str) -> dict[str, str]:
        """The state of each file in a folder, by name: its size, with its modification time or ETag.

        A file that is written anew has another state. Empty if the folder does not exist.
        """
        found: Listing = {}
        with self._asking(folder), suppress(FileNotFoundError):
            found = self._listing(folder)
        return {name: state for name, state in found.items() if state and not name.startswith(PREFIX)}

    def is_content(self, state: str, data: bytes) -> bool:
        """Whether a state says that the file holds `data`, as ETags of most stores do; False where it says nothing."""
        size, _, changed = state.partition(" ")
        if self.is_local or size != str(len(data)):
            return False
        # S3 gives the MD5 of what was put with one request and not encrypted by a key of its own.
        return changed.strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest()

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading."""
        with self._asking(path):
            return self._open_local(path) if self.is_local else self.fs.open(self.full(path), "rb")

    def open_end_first(self, path: str, num_bytes: int) -> IO[bytes] | EndFirst:
        """Open a file that is read from its end, such as a Parquet table.

        Args:
            num_bytes: how many of a file in a bucket to read at once; a file that has fewer takes one request.
        """
        if self.is_local:
            return self.open(path)
        with self._asking(path):
            return EndFirst(self.fs, self.full(path), num_bytes)

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """A whole file on this machine, for a block that reads much of it: of a bucket a copy, which is removed after.

        Raises:
            FileNotFoundError: there is no such file.
            LakeError: the copy cannot be written.
        """
        if self.is_local:
            self.open(path).close()  # checks what is there
            yield Path(self.full(path))
            return
        with self._filled() as file:
            with self._asking(path), _writing(file):
                download(self.fs, self.full(path), file)
            yield file

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file, or `length` bytes of it from `offset`."""
        if self.is_local:
            with self._asking(path), self._open_local(path) as file:
                file.seek(offset)
                return file.read() if length is None else file.read(length)
        with self._asking(path):
            return read_bytes(self.fs, self.full(path), offset, length)

    def read_json(self, path: str) -> dict[str, Any]:
        """Read a JSON object.

        Raises:
            LakeError: the file is not JSON, or not an object.
        """
        try:
            data = self.read(path)
        except FileNotFoundError as error:
            raise LakeError(f"{self.url}/{path} is missing: run `facemill check`") from error
        return parse_object(data, f"{self.url}/{path}")

    # -- writing --

    def begin(self) -> None:
        """Initialize the folder as a lake, if it is not one. The first write does this.

        A local lake is readable by this user only, and by their group if the umask is 0007.

        Raises:
            UsageError: the folder cannot be made.
            LakeError: the disk is full, or may not be written to.
        """
        if self.is_local:
            path = Path(self.full(self.format_file))
            with self._beginning():
                if not path.exists():
                    make_private(path.parent)
                    with whole_file(path) as temporary:
                        temporary.write_bytes(to_json({"format": FORMAT}))
        elif not self._has_begun:
            if not self.exists(self.format_file):
                with self._changing(self.format_file), self._filled(to_json({"format": FORMAT})) as file:
                    upload(self.fs, file, self.full(self.format_file), once=False)
            self._has_begun = True

    @contextmanager
    def _beginning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in CANNOT_WRITE:
                raise self._unwritable(self.format_file, error) from error
            raise UsageError(
                f"--lake {self.url} cannot be created: {error.strerror}; choose a writable folder"
            ) from error

    def _unwritable(self, path: str, error: OSError) -> LakeError:
        return LakeError(
            f"{self.url}/{path} cannot be written: {error.strerror}; after that is fixed, run the same command to "
            "continue"
        )

    @contextmanager
    def create(self, path: str, *, once: bool = False) -> Iterator[Path]:
        """Give a temporary local file to fill; when the block ends well, it becomes `path` in one step.

        On a local lake the file is synced and renamed; on an object store it is uploaded, which is atomic there.

        Args:
            once: do not replace an existing file. Of several concurrent writers the first one wins.

        Raises:
            LakeError: the disk is full, or may not be written to, or a link leads out of the lake.
            FileExistsError: with `once`, something is there.
        """
        self.begin()
        try:
            with ExitStack() as stack:
                try:
                    temporary = stack.enter_context(self._created(path, once))
                except OSError as error:
                    raise self._unwritable(path, error) from error
                yield temporary
        except OSError as error:
            # A FileNotFoundError from the block may concern another file.
            if error.errno not in CANNOT_WRITE:
                raise
            raise self._unwritable(path, error) from error

    @contextmanager
    def _created(self, path: str, once: bool) -> Iterator[Path]:
        if not self.is_local:
            with self._filled() as file:
                yield file
                with self._changing(path):
                    upload(self.fs, file, self.full(path), once=once)
            return
        target = Path(self._inside(path, follows=False))
        is_new = target.parent not in self._swept
        self._swept.add(target.parent)
        with self._forgetting(path), whole_file(target, once=once, sweeps=is_new) as temporary:
            yield temporary

    @contextmanager
    def _filled(self, data: bytes = b"") -> Iterator[Path]:
        """A temporary file in the work folder, to be uploaded. Its name identifies the writer."""
        with temporary_file(self.work_folder / "uploads" / "file") as file:
            file.write_bytes(data)
            yield file

    @contextmanager
    def _changing(self, path: str) -> Iterator[None]:
        """As `_asking`, of a block that writes or removes something."""
        with self._forgetting(path), self._asking(path):
            yield

    @contextmanager
    def _forgetting(self, path: str) -> Iterator[None]:
        """Have the listings with `path` in them asked for anew after the block."""
        try:
            yield
        finally:
            self._listings.forget(path)

    def write(self, path: str, data: bytes) -> None:
        """Write a file in one step."""
        with self.create(path) as temporary:
            temporary.write_bytes(data)

    def write_once(self, path: str, data: bytes) -> bool:
        """Write a file in one step if it does not exist; returns whether the file now equals `data`."""
        try:
            with self.create(path, once=True) as temporary:
                temporary.write_bytes(data)
        except FileExistsError:
            # A retried upload whose first response was lost finds its own file.
            with suppress(FileNotFoundError):
                return self.read(path) == data
            return False
        return True

    def write_json(self, path: str, value: dict[str, Any]) -> None:
        """Write a JSON object in one step, readable by people."""
        self.write(path, to_json(value))

    def remove(self, path: str) -> None:
        """Remove a file, a link or a folder with all it holds; nothing happens if it is not there."""
        with self._changing(path):
            if not self.is_local:
                remove_all(self.fs, self.full(path))
                return
            with suppress(FileNotFoundError):
                _remove(Path(self._inside(path, follows=False)))

    def remove_file(self, path: str) -> None:
        """Remove what is known to be a file, of a bucket with one request; nothing happens if it is not there."""
        if self.is_local:
            self.remove(path)
        else:
            with self._changing(path):
                remove_file(self.fs, self.full(path))

    def move(self, path: str, target: str) -> None:
        """Move a file or a folder with all it holds; on a local lake in one step."""
        if self.is_local:
            source, place = (Path(self._inside(one, follows=False)) for one in (path, target))
            make_folder(place.parent)
            with self._forgetting(path), self._forgetting(target):
                source.replace(place)
        else:
            # fsspec cannot move folders on S3, which has none.
            with self._changing(target):
                for file in self.fs.find(self.full(path)):
                    self.fs.cp_file(file, self.full(target) + file.removeprefix(self.full(path)))
            self.remove(path)

    def lost_uploads(self) -> list[Upload]:
        """Uploads to an object store whose writers were killed; their parts use space but are not a file."""
        with self._asking(""):
            return lost_uploads(self.fs, self.root)

    def abort(self, lost: Upload) -> None:
        """Abort a lost upload, which deletes its parts."""
        with self._asking(lost.path):
            abort_upload(self.fs, self.root, lost)

    def leftovers(self) -> list[str]:
        """Temporary files of killed writers, sorted: of ended writers, and of unknown writers if unchanged for an hour.

        The quarantine is left out. Of a lake in a bucket, `work/` stands for its work folder.
        """
        found = [path for path in self._unfinished() if is_left(self._local(path))]
        return [path for path in found if not path.startswith(self.quarantine())]

    def unclaimed(self) -> list[str]:
        """All temporary files whose writer is not known to run, including the quarantine, sorted."""
        return [path for path in self._unfinished() if writer_of(Path(path)) is not Writer.RUNS]

    def remove_leftover(self, path: str) -> None:
        """Remove one of `leftovers` or `unclaimed`."""
        self._local(path).unlink(missing_ok=True)

    def _unfinished(self) -> list[str]:
        root = Path(self.root) if self.is_local else self.work_folder
        prefix = "" if self.is_local else "work/"
        return sorted(prefix + path.relative_to(root).as_posix() for path in unfinished(root))

    def _local(self, path: str) -> Path:
        if self.is_local:
            return Path(self._inside(path, follows=False))
        return self.work_folder / path.removeprefix("work/")

    # -- format --

    def _check_format(self) -> None:
        try:
            self._check_folder()
        except OSError as error:
            raise UsageError(f"--lake {self.url} cannot be opened: {error.strerror or error}; name another") from error

    def _check_folder(self) -> None:
        if self.is_local and Path(self.root).is_file():
            raise UsageError(f"--lake {self.url} is a file; name a folder, or one that does not exist yet")
        if self.is_local:
            with suppress(FileNotFoundError):
                next(Path(self.root).iterdir(), None)  # says why a folder cannot be opened
        try:
            data = self.read(self.format_file)
        except FileNotFoundError:
            # Another run may have initialized it between the two checks.
            if self.names("") and not self.exists(self.format_file):
                raise UsageError(
                    f"--lake {self.url} holds files but no lake.json: it is not a lake; name another folder"
                ) from None
            return
        found = parse_object(data, f"{self.url}/{self.format_file}").get("format")
        if type(found) is not int or found < 1:
            raise LakeError(
                f"{self.url}/{self.format_file} has format {json.dumps(found)}, which is unknown: restore it "
                "from a backup, or name another lake"
            )
        if found > FORMAT:
            raise LakeError(
                f"the lake {self.url} has format {found}, this facemill reads up to {FORMAT}: install a newer version"
            )
        self._has_begun = True


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """Translate disk errors on `place` in the block; FileNotFoundError and FileExistsError pass through."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise LakeError(
            f"{place} cannot be read: {error.strerror or error}; after that is fixed, run the same command to continue"
        ) from error


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Translate the error of a full disk in the block, which fills a local file."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise LakeError(
            f"{file.parent} cannot be written: {error.strerror}; after that is fixed, run the same command to continue"
        ) from error


def _place_of(handle: int, path: str) -> str:
    """The real path of an open file."""
    try:
        return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - a path object costs as much again
    except OSError:
        return os.path.realpath(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_unless_removed)
    else:
        path.unlink()


def _unless_removed(_function: Any, _path: str, raised: Any) -> None:
    """Go on where another run has removed a file or folder meanwhile."""
    if not isinstance(raised[1], FileNotFoundError):
        raise raised[1]


def _scanned(folder: str) -> Listing:
    """The files and folders in a folder of a disk; none if it is a file."""
    with suppress(NotADirectoryError), os.scandir(folder) as entries:
        return {one.name: _state_of(one) for one in entries}
    return {}


def _state_of(entry: os.DirEntry[str]) -> str:
    """Empty for a folder, and for a file that was removed since it was listed."""
    with suppress(FileNotFoundError):
        if entry.is_file():
            facts = entry.stat()
            return f"{facts.st_size} {facts.st_mtime_ns}"
    return ""


def _state_listed(entry: dict[str, Any]) -> str:
    if entry["type"] == "directory":
        return ""
    return listed_state(entry)


def to_json(value: dict[str, Any]) -> bytes:
    """A JSON object as stored in the lake, human-readable."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
