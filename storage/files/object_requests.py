"""Requests to an object store, as few as a purpose needs. fsspec's own calls make two to five of each of these.

A file is read with one request, without a look at its length before; a folder is listed once, also one that is not
there; a file is removed without a look whether it is one. Other stores than S3 are asked as fsspec does.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.files.stores import is_s3

# The most files that one request removes.
_AT_ONCE = 1000
# How often a listing is tried that another thread disturbs.
_LISTINGS = 100


def list_folder(fs: Any, path: str, start: str = "") -> list[dict[str, Any]]:
    """The files and folders in a folder, one request for each thousand.

    Args:
        start: only those whose names start so.

    Returns:
        `name`, `size` and `type` of each, and `ETag` or the time of its last change; empty if there is no such folder.
    """
    if not is_s3(fs):
        return [one for one in _listed(fs, path) if one["name"].rstrip("/").rpartition("/")[2].startswith(start)]
    bucket, _, key = path.partition("/")
    above = f"{key}/" if key else ""
    found = []
    for page in _pages(fs, bucket, f"{above}{start}", Delimiter="/"):
        folders = [one["Prefix"].rstrip("/") for one in page.get("CommonPrefixes", [])]
        found += [{"name": f"{bucket}/{one}", "size": 0, "type": "directory"} for one in folders]
        files = [one for one in page.get("Contents", []) if one["Key"] != above]
        found += [one | {"name": f"{bucket}/{one['Key']}", "size": one["Size"], "type": "file"} for one in files]
    return found


def _listed(fs: Any, path: str) -> list[dict[str, Any]]:
    """What is in a folder. In memory fsspec stumbles over a file that another thread adds or removes meanwhile."""
    for _ in range(_LISTINGS):
        with suppress(KeyError, RuntimeError):
            return _listed_once(fs, path)
    return _listed_once(fs, path)


def _listed_once(fs: Any, path: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return found


def listed_state(facts: dict[str, Any]) -> str:
    """The size of a file, with its ETag or the time of its last change; `facts` as a store gives them."""
    return f"{facts['size']} {facts.get('ETag') or facts.get('LastModified') or facts.get('created')}"


def read_bytes(fs: Any, path: str, offset: int = 0, length: int | None = None) -> bytes:
    """A file, or `length` bytes of it from `offset`, with one request."""
    if length == 0:
        return b""  # S3 takes a range without bytes for none, and gives the whole file
    # S3 rejects every range of an empty file.
    start, end = offset or None, None if length is None else offset + length
    # With more than one request at a time, s3fs asks for the length first.
    data: bytes = fs.cat_file(path, start=start, end=end, **({"max_concurrency": 1} if is_s3(fs) else {}))
    return data


def download(fs: Any, path: str, target: Path) -> None:
    """Copy a file to the existing local file `target`, with one request that is continued where it breaks off."""
    fs.get_file(path, str(target), **({"max_concurrency": 1} if is_s3(fs) else {}))


def remove_file(fs: Any, path: str) -> None:
    """Remove a file; nothing happens if it is not there."""
    with suppress(FileNotFoundError):
        fs.rm_file(path)


def remove_all(fs: Any, path: str) -> None:
    """Remove a file, or a folder with all it holds; nothing happens if it is not there."""
    if not is_s3(fs):
        with suppress(FileNotFoundError):
            fs.rm(path, recursive=True)
        return
    bucket, _, key = path.partition("/")
    listed = [one["Key"] for page in _pages(fs, bucket, key) for one in page.get("Contents", [])]
    keys = [one for one in listed if one == key or one.startswith(f"{key}/")]
    if keys == [key]:
        remove_file(fs, path)
        return
    for at in range(0, len(keys), _AT_ONCE):
        gone = {"Objects": [{"Key": one} for one in keys[at : at + _AT_ONCE]], "Quiet": True}
        answer = fs.call_s3("delete_objects", Bucket=bucket, Delete=gone)
        if errors := answer.get("Errors"):
            raise OSError(f"{errors[0]['Key']} was not removed: {errors[0].get('Message') or errors[0].get('Code')}")


def _pages(fs: Any, bucket: str, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
    place: dict[str, str] = {}
    with suppress(FileNotFoundError):
        while True:
            page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **options, **place)
            yield page
            if not page.get("IsTruncated"):
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}


class EndFirst(io.RawIOBase):
    """A file of a store that is read from its end, such as a Parquet table, whose footer says where the rest lies.

    Its last bytes come with one request, which is all of a small file; other ranges as they are asked for.

    Args:
        num_bytes: how many to ask for.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(self, fs: Any, path: str, num_bytes: int) -> None:
        super().__init__()
        self._fs, self._path, self._at = fs, path, 0
        self._end, self._facts = _end_of(fs, path, num_bytes), dict[str, Any]()
        self._size = len(self._end)
        # fsspec may ask for one byte less (2026.9).
        if len(self._end) >= num_bytes - 1:
            self._facts = fs.info(path)
            self._size = int(self._facts["size"])

    @property
    def whole(self) -> bytes | None:
        """All its bytes, if they came with the first request."""
        return self._end if len(self._end) == self._size else None

    def is_replaced(self) -> bool:
        """Whether the store has another file by now, so that what was read may be of both."""
        with suppress(FileNotFoundError):
            return bool(self._facts) and listed_state(self._fs.info(self._path)) != listed_state(self._facts)
        return False

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether any part of it can be read next."""
        return True

    def tell(self) -> int:
        """Where reading goes on."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on reading from there; returns the place from the start."""
        before = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(before + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, unless the file ends before; returns the number of bytes."""
        data = self._range(self._at, min(self._at + len(buffer), self._size))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _range(self, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        here = self._size - len(self._end)
        if start >= here:
            return self._end[start - here : end - here]
        return read_bytes(self._fs, self._path, start, end - start)


def _end_of(fs: Any, path: str, num_bytes: int) -> bytes:
    try:
        data: bytes = fs.cat_file(path, start=-num_bytes)
    except FileNotFoundError:
        raise
    except OSError as error:
        # S3 rejects every range of an empty file.
        if error.errno != errno.EINVAL or fs.size(path):
            raise
        return b""
    return data
