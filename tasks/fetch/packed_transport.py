"""The transport of pictures in tars or Parquet files: the bytes of `<file>/<member or row>`."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from storage.errors import SourceError
from storage.records import Reason
from tasks.links.recipes.recipe import Column
from tasks.links.sources.parquet_pictures import GroupCache, GroupTooLargeError, PictureFile
from tasks.links.sources.tar_members import is_tar, read_members
from tasks.web.responses import FetchResult

# An index of 30,000 members takes 6 MB, and 0.7 CPU-s to make.
_NUM_OPEN = 64
_CACHE_BYTES = 256_000_000
_Index = dict[str, tuple[int, int]]


class PackedTransport:
    """Reads pictures out of the tars and Parquet files below one folder.

    The cost of a picture beyond its own bytes: in a tar, nothing after its headers have been read; in Parquet, its row
    group, unless that is cached.
    """

    def __init__(self, root: Path, image: Column, max_bytes: int) -> None:
        self._root = root
        self._image = image
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Index | PictureFile] = OrderedDict()
        self._groups = GroupCache(_CACHE_BYTES)

    async def get(self, url: str) -> FetchResult:
        """The bytes of the picture that a line's `url` names; failures are returned, not raised."""
        return await asyncio.to_thread(self._get, url)

    def _get(self, url: str) -> FetchResult:
        try:
            with self._lock:
                return self._read(url)
        except SourceError as error:
            return FetchResult(url, reason=Reason.NOT_PUBLIC, detail=f"{error}"[:200])
        except (FileNotFoundError, IndexError, KeyError) as error:
            return FetchResult(url, reason=Reason.GONE, detail=f"no such picture: {error}"[:200])
        except GroupTooLargeError as error:
            return FetchResult(url, reason=Reason.TOO_LARGE, detail=f"{error}"[:200])
        except (OSError, ValueError, pa.ArrowException) as error:
            return FetchResult(url, reason=Reason.BAD_RESPONSE, detail=f"{type(error).__name__}: {error}"[:200])

    def _read(self, url: str) -> FetchResult:
        name, inner = self._split(url)
        file = self._opened(name)
        data: Any = None
        if isinstance(file, PictureFile):
            group, row = file.place(int(inner))
            data = self._groups.get(name, group, file)[row]
            num = len(data.as_buffer()) if data.is_valid else 0
        else:
            offset, num = file[inner]
        if num > self._max_bytes:
            return FetchResult(url, reason=Reason.TOO_LARGE, detail=f"{num} bytes, over {self._max_bytes}")
        if isinstance(file, PictureFile):
            return FetchResult(url, (data.as_py() or b"") if data.is_valid else b"")
        with (self._root / name).open("rb") as stream:
            stream.seek(offset)
            found = stream.read(num)
        if len(found) < num:
            return FetchResult(url, reason=Reason.CUT_SHORT, detail=f"{len(found)} of {num} bytes")
        return FetchResult(url, found)

    def _split(self, url: str) -> tuple[str, str]:
        """The file below the root named by a reference, and the rest of it.

        Raises:
            SourceError: the reference leaves the root, by itself or through a symbolic link.
            FileNotFoundError: the file does not exist.
        """
        parts = PurePosixPath(url).parts
        if "\0" in url or url.startswith("/") or ".." in parts:
            raise SourceError(f"{url!r} leaves the folder {self._root}: list the folder again")
        path = self._root
        for at, part in enumerate(parts[:-1], start=1):
            path = path / part
            if path.is_symlink():
                raise SourceError(f"{path} is a symbolic link: put the file itself there")
            if path.is_file():
                name = "/".join(parts[:at])
                return name, url[len(name) + 1 :]
        raise FileNotFoundError(f"{url} is in no file")

    def _opened(self, name: str) -> _Index | PictureFile:
        if name not in self._open:
            path = self._root / name
            self._open[name] = _index(path) if is_tar(path) else PictureFile(path, self._image)
            if len(self._open) > _NUM_OPEN:
                _, oldest = self._open.popitem(last=False)
                if isinstance(oldest, PictureFile):
                    oldest.close()
        self._open.move_to_end(name)
        return self._open[name]


def _index(path: Path) -> _Index:
    """(offset, size) of each regular member of a tar; of equal names, the first."""
    found: _Index = {}
    for member in read_members(path, path.name):
        if member.refused is None:
            found.setdefault(member.name, (member.offset, member.size))
    return found
