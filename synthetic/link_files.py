"""The link files of a synthetic dataset as a web site: index, files and archive in VGGFace1's layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from functools import cached_property
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

from aiohttp import web

_ARCHIVE_FOLDER = "vgg_face_dataset/files"


class LinkFiles:
    """Serves `/links/` (an HTML index), `/links/<Identity>.txt` and `/links.tar.gz`, each with an ETag."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(self, request: web.BaseRequest) -> web.Response:
        """The requested file; 304 if the client already has it, 404 if it does not exist."""
        found = self._find(unquote(request.path))
        if found is None:
            return web.Response(status=404, text="there are /links/, /links/<Identity>.txt and /links.tar.gz\n")
        data, content_type = found
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "Content-Type": content_type}
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, headers=headers)

    def _find(self, path: str) -> tuple[bytes, str] | None:
        if path == "/links.tar.gz":
            return self._archive, "application/gzip"
        if path == "/links/":
            return self._index, "text/html; charset=utf-8"
        name = path.removeprefix("/links/")
        if name in self._names:
            return (self._folder / name).read_bytes(), "text/plain; charset=us-ascii"
        return None

    @cached_property
    def _names(self) -> dict[str, None]:
        return dict.fromkeys(sorted(path.name for path in self._folder.glob("*.txt")))

    @cached_property
    def _index(self) -> bytes:
        items = "".join(f'<li><a href="{quote(name)}">{escape(name)}</a></li>\n' for name in self._names)
        return f"<!DOCTYPE html>\n<title>Link files</title>\n<ul>\n{items}</ul>\n".encode()

    @cached_property
    def _archive(self) -> bytes:
        """A reproducible archive, without times and owners."""
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name in self._names:
                data = (self._folder / name).read_bytes()
                info = tarfile.TarInfo(f"{_ARCHIVE_FOLDER}/{name}")
                info.size = len(data)
                info.mode = 0o644
                tar.addfile(info, io.BytesIO(data))
        return packed.getvalue()
