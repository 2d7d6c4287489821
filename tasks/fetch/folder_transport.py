"""The transport of sources that are a folder on disk: the bytes behind a relative path."""

from __future__ import annotations

import asyncio
from pathlib import Path

from storage.errors import SourceError
from storage.records import Reason
from tasks.links.sources.vggface2 import read_picture
from tasks.web.responses import FetchResult


class FolderTransport:
    """Reads pictures below one folder; a file larger than `max_bytes` is refused."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes

    async def get(self, url: str) -> FetchResult:
        """The bytes at the relative path `url`; failures are returned, not raised."""
        return await asyncio.to_thread(self._get, url)

    def _get(self, url: str) -> FetchResult:
        try:
            data = read_picture(self._root, url)
        except SourceError as error:
            return FetchResult(url, reason=Reason.NOT_PUBLIC, detail=f"{error}"[:200])
        except FileNotFoundError:
            return FetchResult(url, reason=Reason.GONE, detail="no such file")
        except (OSError, ValueError) as error:
            return FetchResult(url, reason=Reason.BAD_RESPONSE, detail=f"{type(error).__name__}: {error}"[:200])
        if len(data) > self._max_bytes:
            return FetchResult(url, reason=Reason.TOO_LARGE, detail=f"{len(data)} bytes, over {self._max_bytes}")
        return FetchResult(url, data)
