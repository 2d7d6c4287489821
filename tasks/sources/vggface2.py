"""VGGFace2: a folder per person with pictures in it; nothing is fetched.

The identity is the folder's name; the `url` of a line is `<Identity>/<file>` as it is on disk, relative to
the source's folder and without percent escapes. A person's lines are numbered from 1, sorted by file name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

from storage.errors import SourceError
from storage.names import is_text, visible
from storage.records import LINK_LINES, Reason, url_key
from tasks.sources.source import IdentityLines, SourceLines, assembled, identity_lines

_PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}


def read(path: Path, wanted: Collection[str] | None, shown: str) -> SourceLines:
    """List the pictures of a folder per person.

    Args:
        path: the folder that holds a folder per person.
        wanted: the identities to list; None for all.
        shown: how errors call the place.

    Raises:
        SourceError: it is no folder, or holds no pictures in folders, or none of a wanted identity.
    """
    if not path.is_dir():
        raise SourceError(f"{shown} is no folder: give the folder that holds a folder of pictures per person")
    parts = {
        identity: _listed(identity, names)
        for identity, names in _people(path)
        if names and (wanted is None or identity in wanted)
    }
    missing = sorted(set(wanted or ()) - set(parts))
    if missing:
        raise SourceError(
            f"{shown} has no pictures in {missing[0]}/ ({len(missing)} of those asked for): check the names"
        )
    if not parts:
        raise SourceError(f"{shown} holds no folder with pictures: give the one with a folder per person, as train/ is")
    return assembled(parts)


def fingerprint(path: Path) -> str:
    """SHA-256 of the names of all pictures: the lines depend on nothing else. Empty if there is no folder."""
    if not path.is_dir():
        return ""
    sha = hashlib.sha256()
    for identity, names in _people(path):
        sha.update("\0".join([identity, *names, "/"]).encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def read_picture(root: Path, url: str) -> bytes:
    """The bytes of the picture that a line's `url` names below `root`.

    Raises:
        SourceError: the path leaves `root`, by itself or through a symbolic link.
        OSError: there is no such file, or it cannot be read.
    """
    relative = PurePosixPath(url)
    if "\0" in url or relative.is_absolute() or ".." in relative.parts or not _is_inside(root.resolve(), root / url):
        raise SourceError(f"{url!r} leaves the folder {root}: list the folder again, or remove the link that leads out")
    picture = root / url
    if not picture.is_file():
        raise FileNotFoundError(f"{picture} is not a file")
    return picture.read_bytes()


def _people(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every (identity, file names of its pictures), both sorted; what a link leads out to is not there."""
    inside = root.resolve()
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and _is_own(inside, folder):
            if not is_text(folder.name):
                raise SourceError(
                    f"{root} holds a folder named {folder.name!r}, which is not UTF-8 text without control and bidi "
                    "characters: rename it"
                )
            pictures = (file for file in folder.iterdir() if _is_picture(inside, file))
            yield folder.name, sorted(file.name for file in pictures)


def _is_picture(inside: Path, file: Path) -> bool:
    hidden = file.name.startswith(".")
    return file.suffix.lower() in _PICTURES and not hidden and file.is_file() and _is_own(inside, file)


def _is_own(inside: Path, path: Path) -> bool:
    return not path.is_symlink() or _is_inside(inside, path)


def _is_inside(inside: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # a link to itself
        return False


def _listed(identity: str, names: list[str]) -> IdentityLines:
    good = [(line, f"{identity}/{name}") for line, name in enumerate(names, start=1) if is_text(name)]
    detail = "the file name is not UTF-8 text without control and bidi characters"
    rejected = [
        (line, visible(name), Reason.BAD_URL, detail) for line, name in enumerate(names, start=1) if not is_text(name)
    ]
    columns: dict[str, object] = {name: pa.nulls(len(good), LINK_LINES.field(name).type) for name in LINK_LINES.names}
    columns["line"] = [line for line, _ in good]
    columns["url"] = [url for _, url in good]
    columns["key"] = [url_key(url) for _, url in good]
    return identity_lines(columns, rejected)
