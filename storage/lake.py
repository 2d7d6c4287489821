"""Every path in the system is made here, and every write to it is atomic.

    lake.json                                   the format; written first
    links/<source>/lines.parquet                + rejected.parquet, origin.json (last)
    plan/<source>.parquet
    images/<source>/<stem>.tar + .parquet       the bytes as they came, and every attempt
    unique/<source>/<stamp>.parquet
    detections/<source>/<stem>.parquet
    faces/<method>/<source>/<stem>.tar + .parquet
    cleaned/<method>/<source>/<model>/<version>/     people.parquet, faces.parquet (last): what a model doubts
    datasets/<name>/<version>/                  shards, index.parquet, manifest.json (last)
    models/<name>/<version>/                    weights, metrics, lineage, manifest.json (last)
    models/<name>/aliases/<when>-<writer>.json  which version is champion or candidate, an event a file
    evaluations/<name>/<version>/<test>.json    figures of a model version on a test, + .parquet of scores
    experiments/<id>.json                       models of several trainings held against each other
    leases/<stage>/<of>/<unit>.<n>.json         which run does a unit at the moment (`leases`)
    takedowns/<stamp>.parquet                   who and what must not be used any more; only ever added to
    quarantine/<when>/                          what was found broken, where it lay
    work/                                       what may be thrown away: decoded pictures, checkpoints
    world/                                      made worlds, the web of the synthetic source

A stem is `<unit>-<n>-<writer>`: the n-th shard of images of one unit, and six random digits so that two runs at a time
never write the same one. What is computed from that shard bears its stem.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from storage.errors import LakeError, UsageError
from storage.shapes import parse_object
from storage.stores import Upload, abort_upload, asking, lost_uploads, open_store, upload

FORMAT = 1
_HOST = re.sub("[^A-Za-z0-9]", "_", socket.gethostname())
_UNFINISHED = f".tmp-{_HOST}-*"
# A full disk or quota, a file system or folder that is read-only, a file too large for it.
CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
# What file systems without hard links answer.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Lake:
    """A folder, local or in an object store, that holds everything facemill knows.

    Args:
        url: a path, or a URL that fsspec understands (`s3://bucket/lake`).

    Raises:
        LakeError: the folder was written by a newer facemill.
        UsageError: it holds something that is not a lake, or no installed package knows URLs of this kind.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self.fs, root = open_store(self.url)
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._has_begun = False
        self._swept: set[Path] = set()
        self._check_format()

    def __reduce__(self) -> tuple[type[Lake], tuple[str]]:
        return Lake, (self.url,)

    # -- paths, relative to the root --

    format_file = "lake.json"

    def links(self, source: str, name: str) -> str:
        """`lines.parquet`, `rejected.parquet` or `origin.json` of a source."""
        return f"links/{source}/{name}"

    def plan(self, source: str) -> str:
        """The candidates of a source."""
        return f"plan/{source}.parquet"

    def images(self, source: str, stem: str = "") -> str:
        """The folder of a source's images, or one shard of it without its ending."""
        return f"images/{source}/{stem}".rstrip("/")

    def unique(self, source: str, stamp: str = "") -> str:
        """The folder of a source's dedupe verdicts, or those of one state of its images."""
        return f"unique/{source}/{stamp}.parquet" if stamp else f"unique/{source}"

    def detections(self, source: str, stem: str) -> str:
        """The faces found in one shard of images."""
        return f"detections/{source}/{stem}.parquet"

    def faces(self, method: str, source: str, stem: str) -> str:
        """The crops of one shard of images by one method, without ending."""
        return f"faces/{method}/{source}/{stem}"

    def cleaned(self, method: str = "", source: str = "", model: str = "", version: str = "") -> str:
        """The folder of what models said of faces: in all, by one method, of a source, by one model, by one version."""
        parts = (method, source, checked_name(model) if model else "", version)
        return "/".join(["cleaned", *(part for part in parts if part)])

    def dataset(self, name: str, version: str = "") -> str:
        """The folder of a dataset, or of one version of it."""
        return f"datasets/{checked_name(name)}/{version}".rstrip("/")

    def model(self, name: str, version: str = "") -> str:
        """The folder of a model, or of one version of it."""
        return f"models/{checked_name(name)}/{version}".rstrip("/")

    def evaluations(self, name: str, version: str, test: str = "") -> str:
        """The folder of a model version's evaluations, or one of them without ending; a test is `name@version`."""
        return f"evaluations/{checked_name(name)}/{version}/{test}".rstrip("/")

    def experiment(self, number: str) -> str:
        """What came of comparing several trainings, by a digest of them."""
        return f"experiments/{number}.json"

    def leases(self, stage: str = "", of: str = "", name: str = "") -> str:
        """The folder of all leases, of a stage's, of those on one source or model, or one of them."""
        return "/".join(["leases", *(part for part in (stage, of, name) if part)])

    def takedowns(self, stamp: str = "") -> str:
        """The folder of the takedowns, or those of one call."""
        return f"takedowns/{stamp}.parquet" if stamp else "takedowns"

    def quarantine(self, path: str = "") -> str:
        """The folder of what was found broken, or one thing in it."""
        return f"quarantine/{path}".rstrip("/")

    @property
    def work_folder(self) -> Path:
        """A local folder for what may be thrown away: decoded pictures, checkpoints of unfinished trainings."""
        if self.is_local:
            return Path(self.full("work"))
        return Path(tempfile.gettempdir()) / "facemill" / hashlib.sha256(self.url.encode()).hexdigest()[:16]

    # -- reading --

    def _asking(self, path: str) -> AbstractContextManager[None]:
        """In the block a store is asked; what it refuses is told in a line."""
        return nullcontext() if self.is_local else asking(f"{self.url}/{path}")

    def full(self, path: str) -> str:
        """The path as the file system below knows it."""
        return f"{self.root}/{path}"

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        with self._asking(path):
            return bool(self.fs.exists(self.full(path)))

    def size(self, path: str) -> int | None:
        """The length of a file in bytes; None if it is not there."""
        with self._asking(path), suppress(FileNotFoundError):
            return int(self.fs.size(self.full(path)))
        return None

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none if it is not there. Unfinished writes are left out."""
        found: list[str] = []
        with self._asking(folder), suppress(FileNotFoundError):
            found = self.fs.ls(self.full(folder), detail=False)
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in found)
        return sorted(name for name in names if not name.startswith(".tmp-"))

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading."""
        with self._asking(path):
            return self.fs.open(self.full(path), "rb")  # type: ignore[no-any-return]

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file, or `length` bytes of it from `offset`."""
        # S3 refuses to read an empty file from anywhere, also from its start.
        start, end = offset or None, None if length is None else offset + length
        with self._asking(path):
            return self.fs.cat_file(self.full(path), start=start, end=end)  # type: ignore[no-any-return]

    def read_json(self, path: str) -> dict[str, Any]:
        """Read a JSON object.

        Raises:
            LakeError: the file is not JSON, or no object.
        """
        return parse_object(self.read(path), f"{self.url}/{path}")

    # -- writing --

    def begin(self) -> None:
        """Make the folder a lake, if it is none yet. The first write does this by itself."""
        path = Path(self.full(self.format_file))
        if self.is_local:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
                temporary.write_text(json.dumps({"format": FORMAT}) + "\n")
                temporary.replace(path)
        elif not self._has_begun:
            if not self.exists(self.format_file):
                with self._asking(self.format_file), _filled(to_json({"format": FORMAT})) as file:
                    upload(self.fs, file, self.full(self.format_file), once=False)
            self._has_begun = True

    @contextmanager
    def create(self, path: str, *, once: bool = False) -> Iterator[Path]:
        """Give a temporary local file to fill; when the block ends well, it becomes `path` in one step.

        On a local lake the file is synced and renamed; on an object store it is uploaded, which is atomic there.

        Args:
            once: leave what is at `path` already as it is. Of several at a time the first one's stays.

        Raises:
            LakeError: the disk is full, or may not be written to.
            FileExistsError: with `once`, something is there.
        """
        try:
            with self._created(path, once) as temporary:
                yield temporary
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise LakeError(
                f"{self.url}/{path} cannot be written: {error.strerror}; once that is mended the same command goes on "
                "where it was"
            ) from error

    @contextmanager
    def _created(self, path: str, once: bool) -> Iterator[Path]:
        self.begin()
        if not self.is_local:
            with _filled() as file:
                yield file
                with self._asking(path):
                    upload(self.fs, file, self.full(path), once=once)
            return
        target = Path(self.full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(target.parent)
        temporary = target.parent / f".tmp-{_HOST}-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if once:
                _link(temporary, target)
            else:
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, path: str, data: bytes) -> None:
        """Write a file in one step."""
        with self.create(path) as temporary:
            temporary.write_bytes(data)

    def write_once(self, path: str, data: bytes) -> bool:
        """Write a file in one step if nothing is there yet; whether what is there now is `data`."""
        try:
            with self.create(path, once=True) as temporary:
                temporary.write_bytes(data)
        except FileExistsError:
            # An upload whose answer was lost is tried again, and then finds itself.
            with suppress(FileNotFoundError):
                return self.read(path) == data
            return False
        return True

    def write_json(self, path: str, value: dict[str, Any]) -> None:
        """Write a JSON object in one step, readable by people."""
        self.write(path, to_json(value))

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all it holds; nothing happens if it is not there."""
        if not self.exists(path):
            return
        if self.is_local and Path(self.full(path)).is_dir():
            shutil.rmtree(self.full(path))
        else:
            with self._asking(path):
                self.fs.rm(self.full(path), recursive=True)

    def move(self, path: str, target: str) -> None:
        """Move a file or a folder with all it holds; on a local lake in one step."""
        if self.is_local:
            Path(self.full(target)).parent.mkdir(parents=True, exist_ok=True)
            Path(self.full(path)).replace(self.full(target))
        else:
            # What fsspec calls moving a folder fails on S3, where there are none.
            with self._asking(path):
                for file in self.fs.find(self.full(path)):
                    self.fs.cp_file(file, self.full(target) + file.removeprefix(self.full(path)))
            self.remove(path)

    def lost_uploads(self) -> list[Upload]:
        """Uploads to an object store whose writers were killed; their parts take room, and are no file."""
        with self._asking(""):
            return lost_uploads(self.fs, self.root)

    def abort(self, lost: Upload) -> None:
        """Have the store drop the parts of a lost upload."""
        with self._asking(lost.path):
            abort_upload(self.fs, self.root, lost)

    def leftovers(self) -> list[str]:
        """What writers of this machine left unfinished when they were killed, sorted; none in an object store."""
        if not self.is_local:
            return []
        root = Path(self.root)
        found = [path.relative_to(root).as_posix() for path in root.rglob(_UNFINISHED) if _is_left(path)]
        return sorted(path for path in found if not path.startswith(self.quarantine()))

    def _sweep(self, folder: Path) -> None:
        """Once a folder: remove what writers of this machine left unfinished there when they were killed."""
        if folder in self._swept:
            return
        self._swept.add(folder)
        for leftover in filter(_is_left, folder.glob(_UNFINISHED)):
            leftover.unlink(missing_ok=True)

    # -- format --

    def _check_format(self) -> None:
        if self.is_local and Path(self.root).is_file():
            raise UsageError(f"--lake {self.url} is a file; name a folder, or one that does not exist yet")
        if not self.exists(self.format_file):
            # Another run may have made it a lake between the two looks.
            if self.names("") and not self.exists(self.format_file):
                raise UsageError(
                    f"--lake {self.url} holds files but no lake.json: it is not a lake; name another folder"
                )
            return
        found = self.read_json(self.format_file).get("format")
        if not isinstance(found, int) or found > FORMAT:
            raise LakeError(
                f"the lake {self.url} is of format {found}, this facemill reads up to {FORMAT}: install a newer one"
            )


@contextmanager
def _filled(data: bytes = b"") -> Iterator[Path]:
    """A temporary local file, to be uploaded."""
    with tempfile.TemporaryDirectory(prefix="facemill-") as folder:
        file = Path(folder) / "file"
        file.write_bytes(data)
        yield file


def _is_left(unfinished: Path) -> bool:
    return not _is_running(int(unfinished.name.split("-")[-2]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _link(temporary: Path, target: Path) -> None:
    """Give a finished file its name, unless that is taken; where files cannot have two names, look first."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        temporary.replace(target)


def to_json(value: dict[str, Any]) -> bytes:
    """A JSON object as it stands in the lake, readable by people."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def checked_name(name: str) -> str:
    """`name` itself, if it can be a folder's name.

    Raises:
        UsageError: it holds anything but letters, digits, `_`, `.` and `-`, or starts with a sign.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the name {name!r} may hold only letters, digits, '_', '.' and '-', and starts with a letter or digit"
        )
    return name
