"""VGGFace2: a folder of pictures per person, read in place.

The identity is the folder's name; the `url` of a line is `<Identity>/<file>` as it is on disk, relative to
the source's folder and without percent escapes. A person's lines are numbered from 1, sorted by file name.

Every file below the source's folder is a line or a rejected row. A file of a person's folder is a picture if it
begins like one, whatever its name, or if it has the extension of one, in which case its validation gives the reason.
Rejected rows are numbered after the lines, so that other files do not renumber pictures.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from storage.errors import SourceError
from storage.records import LINK_LINES, Reason, url_key
from storage.text.names import is_text, visible
from tasks.images.formats import sniff
from tasks.links.sources.source import IdentityLines, SourceLines, assembled, identity_lines
from tasks.links.sources.spelling import match_names, suggestion

# Files with these extensions are not opened while the folder is listed.
_PICTURES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif"}
# More bytes than `sniff` examines.
_HEAD_BYTES = 128
_NO_TEXT = "the file name is not UTF-8 text without control and bidi characters"
_NOT_A_PERSONS = Reason.NOT_LISTED, "not in the folder of a person"
_Why = tuple[Reason, str]
# The path on disk, and the reason it is not a line.
_Rejected = tuple[str, Reason, str]


def read(path: Path, wanted: Collection[str] | None, shown: str) -> SourceLines:
    """List the pictures of a folder per person.

    Args:
        path: the folder with a folder per person.
        wanted: the identities to list, in any normal form of Unicode; None for all, with a rejected row of the
            identity "" for each file that is in no person's folder.
        shown: the location as shown in errors.

    Raises:
        SourceError: it is not a folder, or has no pictures in folders, or none of a wanted identity.
    """
    if not path.is_dir():
        raise SourceError(f"{shown} is not a folder: give the folder that contains one folder of pictures per person")
    people = _people(path)
    chosen, missing = (sorted(people), []) if wanted is None else match_names(wanted, people)
    parts = {identity: _listed(path, identity) for identity in chosen}
    missing += [] if wanted is None else [identity for identity, part in parts.items() if not len(part.lines)]
    if missing:
        raise SourceError(
            f"{shown} has no pictures in {missing[0]}/ ({len(missing)} of the requested names have none): "
            + suggestion(missing[0], people - set(missing))
        )
    if wanted is None:
        parts[""] = _tables(path, [], _outside(path, people))
    num_files = sum(len(part.lines) > 0 for part in parts.values())
    if not num_files:
        raise SourceError(
            f"{shown} contains no folder with pictures, and {sum(len(part.rejected) for part in parts.values()):,} "
            f"other "
            "files: give the folder with one folder per person, such as train/"
        )
    with_rows = {name: part for name, part in parts.items() if len(part.lines) or len(part.rejected)}
    return replace(assembled(with_rows), num_files=num_files)


def fingerprint(path: Path) -> str:
    """SHA-256 of everything that the lines depend on; empty if there is no folder.

    These are the names of all files, and the size and modification time of files that are opened to determine their
    format.
    """
    if not path.is_dir():
        return ""
    sha = hashlib.sha256()
    for child in sorted(path.iterdir()):
        sha.update(os.fsencode(child.name) + b"/")
        for entry in _files(child) if child.is_dir() else []:
            sha.update(os.fsencode(entry.path[len(str(child)) :]) + b"\0")
            if not _is_named_as_picture(entry.name):
                stat = entry.stat(follow_symlinks=False)
                sha.update(f"{stat.st_size} {stat.st_mtime_ns}\0".encode())
    return sha.hexdigest()


def read_picture(root: Path, url: str) -> bytes:
    """The bytes of the picture that a line's `url` names below `root`.

    Raises:
        SourceError: the path leaves `root`, by itself or through a symbolic link.
        OSError: the file does not exist or cannot be read.
    """
    relative = PurePosixPath(url)
    if "\0" in url or relative.is_absolute() or ".." in relative.parts or not _is_inside(root.resolve(), root / url):
        raise SourceError(
            f"{url!r} leaves the folder {root}: list the folder again, or remove the link that points out of it"
        )
    picture = root / url
    if not picture.is_file():
        raise FileNotFoundError(f"{picture} is not a file")
    return picture.read_bytes()


def _people(root: Path) -> set[str]:
    """The names of the people's folders. Hidden folders and links out of the source are not included."""
    inside, found = root.resolve(), set()
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and _is_inside(inside, folder):
            if not is_text(folder.name):
                raise SourceError(
                    f"{root} contains a folder named {folder.name!r}, which is not UTF-8 text without control and bidi "
                    "characters: rename it"
                )
            found.add(folder.name)
    return found


def _files(folder: Path) -> list[os.DirEntry[str]]:
    """All files below a folder, sorted by path. Links to folders are not followed, and count as files."""
    found: list[os.DirEntry[str]] = []
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found.append(entry)
    return sorted(found, key=lambda entry: entry.path)


def _outside(root: Path, people: set[str]) -> list[_Rejected]:
    """All files outside people's folders."""
    inside = root.resolve()
    found: list[_Rejected] = []
    for path in sorted(child for child in root.iterdir() if child.name not in people):
        files = [one.path for one in _files(path)] if path.is_dir() and not path.is_symlink() else [str(path)]
        found += [(file, *(_why_no_file(inside, Path(file)) or _NOT_A_PERSONS)) for file in files]
    return found


def _listed(root: Path, identity: str) -> IdentityLines:
    """The pictures of one person as lines, and all other files of the folder as rejected rows."""
    inside, folder = root.resolve(), root / identity
    names: list[str] = []
    rejected: list[_Rejected] = []
    for entry in _files(folder):
        why = _why_no_picture(inside, folder, entry)
        if why is None:
            names.append(entry.name)
        else:
            rejected.append((entry.path, *why))
    return _tables(root, [f"{identity}/{name}" for name in names], rejected)


def _tables(root: Path, urls: list[str], rejected: list[_Rejected]) -> IdentityLines:
    good = [(line, url) for line, url in enumerate(urls, start=1) if is_text(url)]
    columns: dict[str, object] = {name: pa.nulls(len(good), LINK_LINES.field(name).type) for name in LINK_LINES.names}
    columns["line"] = [line for line, _ in good]
    columns["url"] = [url for _, url in good]
    columns["key"] = [url_key(url) for _, url in good]
    bad = [(line, visible(url), Reason.BAD_URL, _NO_TEXT) for line, url in enumerate(urls, start=1) if not is_text(url)]
    for line, (path, reason, detail) in enumerate(rejected, start=len(urls) + 1):
        bad.append((line, visible(path.removeprefix(f"{root}/")), reason, detail))
    return identity_lines(columns, bad)


def _why_no_picture(inside: Path, folder: Path, entry: os.DirEntry[str]) -> _Why | None:
    """The reason a file of a person's folder is not a line; None if it is one."""
    path = Path(entry.path)
    is_plain = entry.is_file(follow_symlinks=False)
    if not is_plain and (why := _why_no_file(inside, path)):
        return why
    if path.parent != folder:
        return Reason.NOT_LISTED, "deeper than <person>/<file>: move it into the folder of the person"
    if entry.name.startswith("."):
        return Reason.NOT_LISTED, "a hidden file: rename it if it is a picture"
    if _is_named_as_picture(entry.name):
        return None
    head = _head(path)
    if head is None or sniff(head):
        return None
    return (Reason.NOT_AN_IMAGE, f"starts with {head[:12]!r}") if head else (Reason.EMPTY, "0 bytes")


def _why_no_file(inside: Path, path: Path) -> _Why | None:
    """The reason an entry of the folder is not a readable file; None if it is one."""
    if path.is_symlink() and not (_is_inside(inside, path) and path.is_file()):
        return Reason.SYMBOLIC_LINK, "not followed: it points out of the folder, to a folder, or to a missing file"
    return None if path.is_file() else (Reason.NOT_LISTED, "not a regular file")


def _is_named_as_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _PICTURES


def _head(file: Path) -> bytes | None:
    """The first bytes of a regular file; None if it cannot be read, which is reported when it is fetched."""
    try:
        with file.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError:
        return None


def _is_inside(inside: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # a link to itself
        return False
