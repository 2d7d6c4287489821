"""VGGFace1: one link file per person, one line per picture, in a folder or a tar archive.

    id url left top right bottom pose score curation
    id 0123456789abcdef0123456789abcdef url left top right bottom pose score curation

The identity is the file's name without `.txt`. An accepted line is identified by its `id`, which in the official
files is its number. If an id repeats within an identity, the lines after the first are rejected. A rejected line is
identified by its number in the file, since its id may be invalid.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from storage.errors import SourceError
from storage.records import LINK_LINES, Reason, url_key
from storage.text.encodings import as_utf8, lines_of
from storage.text.names import is_text, visible
from tasks.links.sources.checked_url import BadLineError, checked_url
from tasks.links.sources.source import (
    ROWS_TO_GATHER,
    IdentityLines,
    SourceLines,
    assembled,
    gather,
    identity_lines,
    joined,
)
from tasks.links.sources.spelling import match_names, one_form, suggestion

# The largest official file is 0.2 MB, all 2622 are 350 MB; more than this is not a list of links.
MAX_FILE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 4_000_000_000

# On the sum of the six numbers of a line; also prevents infinities in float32.
_MAX_NUMBER = 1e6
# The characters kept of a rejected line: enough to recognise it, and little of unrelated content.
_KEPT_TEXT = 300
_NOT_LINKS = {"readme", "license", "licence", "copying"}
_HEX = re.compile(rb"[0-9A-Fa-f]{32}")
_ID = re.compile(rb"[0-9]{1,9}")
_CURATED = {b"0": False, b"1": True}
_Row = tuple[int, str, bytes, float, float, float, float, float, float, bool]


def parse_file(data: bytes, taken: Collection[int] = ()) -> IdentityLines:
    """Read one link file: every line becomes a row of `LINK_LINES` or of `REJECTED_LINES`.

    It may be in UTF-8, UTF-16 or UTF-32, with a byte order mark or without (`storage.text.encodings`). Lines end in LF,
    CRLF or CR; blank lines at the end are ignored.

    Args:
        data: the file.
        taken: ids of the identity from another file of the same name.
    """
    seen = set(taken)
    rows: list[_Row] = []
    rejected: list[tuple[int, str, Reason, str]] = []
    for number, raw in enumerate(lines_of(as_utf8(data)), start=1):
        try:
            row = _parse_line(raw)
            if row[0] in seen:
                raise BadLineError(Reason.MALFORMED_LINE, f"id {row[0]} is used by an earlier line")
        except BadLineError as bad:
            text = raw.rstrip()[: 4 * _KEPT_TEXT].decode(errors="replace")[:_KEPT_TEXT]
            rejected.append((number, text, bad.reason, bad.detail))
        else:
            seen.add(row[0])
            rows.append(row)
    rows.sort()
    return identity_lines(_columns(rows), rejected)


def read(path: Path, wanted: Collection[str] | None, shown: str) -> SourceLines:
    """Read the link files of a folder or of a tar archive; nothing is unpacked to disk.

    Args:
        path: the folder, or an archive: .tar, plain or packed by gzip, xz or bzip2.
        wanted: the identities to read, in any normal form of Unicode; None for all.
        shown: the location as shown in errors, such as the URL that `path` was fetched from.

    Raises:
        SourceError: the path does not exist, is not an archive, is truncated or too large, or has no link file, or none
            of a wanted identity.
        OSError: a file of the folder cannot be read.
    """
    parts: dict[str, IdentityLines] = {}
    fresh = dict[str, None]()
    num_fresh = 0
    forms = None if wanted is None else {one_form(name) for name in wanted}
    links = _left_out(path, forms) if path.is_dir() else {}
    names = set(links)
    for identity, data in _link_files(path, shown):
        names.add(identity)
        if forms is not None and one_form(identity) not in forms:
            continue
        earlier = parts.get(identity)
        if earlier is None:
            parts[identity] = parse_file(data)
        else:
            taken = earlier.lines["line"].to_numpy().tolist()
            parts[identity] = joined(earlier, parse_file(data, taken))
        fresh[identity] = None
        num_fresh += len(parts[identity].lines)
        if num_fresh > ROWS_TO_GATHER:
            gather(parts, list(fresh))
            fresh, num_fresh = {}, 0
    _, missing = match_names(wanted or (), names)
    if missing:
        raise SourceError(
            f"{shown} has no link file {missing[0]}.txt ({len(missing)} of the requested names are missing): "
            + suggestion(missing[0], names)
        )
    if not parts:
        raise SourceError(
            f"{shown} contains no link file: expected <Identity>.txt, or files/<Identity>.txt as in VGGFace1"
            + (f"; {len(links)} symbolic links are not followed: give the folder they point to" if links else "")
        )
    num_files = len(parts)
    parts |= links | {name: joined(parts[name], links[name]) for name in parts.keys() & links.keys()}
    return replace(assembled(parts), num_files=num_files)


def fingerprint(path: Path) -> str:
    """SHA-256 of an archive, or of names and contents of a folder's link files; empty if there is neither."""
    if path.is_dir():
        sha = hashlib.sha256()
        for file in _entries(path):
            sha.update(f"{file.relative_to(path)}\0{file.lstat().st_size}\0".encode("utf-8", "surrogateescape"))
            sha.update(b"" if file.is_symlink() else file.read_bytes())
        return sha.hexdigest()
    if not path.is_file():
        return ""
    with path.open("rb") as archive:
        return hashlib.file_digest(archive, "sha256").hexdigest()


def is_link_file(path: PurePosixPath) -> bool:
    """Whether a path is that of a link file: relative, up to one folder deep, or in `<any>/files/`."""
    deep = len(path.parts) > 2 and not (len(path.parts) == 3 and path.parts[1] == "files")
    outside = path.is_absolute() or ".." in path.parts
    hidden = path.name.startswith(".")
    return path.suffix == ".txt" and path.stem.lower() not in _NOT_LINKS and not (deep or outside or hidden)


def _parse_line(raw: bytes) -> _Row:
    if b"\0" in raw:
        raise BadLineError(
            Reason.MALFORMED_LINE, "the line contains NUL bytes, so it is not text: download the list again"
        )
    fields = raw.split()
    if len(fields) == 10 and _HEX.fullmatch(fields[1]):
        del fields[1]
    if len(fields) != 9:
        raise BadLineError(Reason.MALFORMED_LINE, f"{len(fields)} fields, expected 9, or 10 with 32 hex digits second")
    if not _ID.fullmatch(fields[0]):
        raise BadLineError(Reason.MALFORMED_LINE, "the id is not 1 to 9 digits")
    try:
        numbers = [float(field) for field in fields[2:8]]
    except ValueError:
        raise BadLineError(Reason.MALFORMED_LINE, "the box, pose or score is not a number") from None
    if not sum(map(abs, numbers)) <= _MAX_NUMBER:
        raise BadLineError(Reason.MALFORMED_LINE, "the box, pose or score is not finite, or beyond 1,000,000")
    left, top, right, bottom, pose, score = numbers
    # A side below one pixel is empty, and could become zero in float32.
    if right - left < 1 or bottom - top < 1:
        raise BadLineError(Reason.MALFORMED_LINE, f"empty box: {right - left:.2f} x {bottom - top:.2f} px")
    curated = _CURATED.get(fields[8])
    if curated is None:
        raise BadLineError(Reason.MALFORMED_LINE, "curation is neither 0 nor 1")
    url = checked_url(fields[1])
    return int(fields[0]), url, url_key(url), left, top, right, bottom, pose, score, curated


def _columns(rows: list[_Row]) -> dict[str, object]:
    names = ["line", "url", "key", "left", "top", "right", "bottom", "pose", "score", "curated"]
    columns: dict[str, object] = dict(zip(names, zip(*rows, strict=True) if rows else [()] * 10, strict=True))
    corners = pa.array([corner for row in rows for corner in row[3:7]], pa.float32())
    columns["box_xyxy"] = pa.FixedSizeListArray.from_arrays(corners, type=LINK_LINES.field("box_xyxy").type)
    return columns


def _link_files(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    """The (identity, content) pairs of a folder or archive."""
    if not path.exists():
        raise SourceError(f"{shown} does not exist: give a folder or a tar archive of link files, or their URL")
    pairs = _folder_files(path, shown) if path.is_dir() else _archive_files(path, shown)
    for name, data in pairs:
        if not is_text(name):
            raise SourceError(
                f"{shown} contains a link file named {name!r}, which is not UTF-8 text without control and bidi "
                "characters: rename it"
            )
        yield name, data


def _entries(folder: Path, depth: int = 0) -> Iterator[Path]:
    """The link files of a folder, and the symbolic links in the places of link files and their folders.

    Symbolic links are not followed: their targets are not part of the list.
    """
    for entry in sorted(folder.iterdir()):
        path = PurePosixPath(*entry.parts[-1 - depth :])
        holds_files = depth == 0 or (depth == 1 and entry.name == "files")
        if entry.is_symlink() and entry.is_dir():
            if holds_files and not entry.name.startswith("."):
                yield entry
        elif entry.is_dir():
            if holds_files:
                yield from _entries(entry, depth + 1)
        elif is_link_file(path) and (entry.is_file() or entry.is_symlink()):
            yield entry


def _left_out(folder: Path, forms: Collection[str] | None) -> dict[str, IdentityLines]:
    """A rejected row for each symbolic link, under the identity of its name."""
    rows: dict[str, list[tuple[int, str, Reason, str]]] = {}
    for entry in filter(Path.is_symlink, _entries(folder)):
        name = visible(entry.name.removesuffix(".txt"))
        if forms is None or one_form(name) in forms:
            row = (0, visible(str(entry.relative_to(folder))), Reason.SYMBOLIC_LINK, "not followed")
            rows.setdefault(name, []).append(row)
    return {name: identity_lines(_columns([]), found) for name, found in rows.items()}


def _folder_files(folder: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    for path in _entries(folder):
        if not path.is_symlink():
            _check_size(f"{shown}: {path.name}", path.stat().st_size)
            yield path.stem, path.read_bytes()


def _archive_files(path: Path, shown: str) -> Iterator[tuple[str, bytes]]:
    try:
        with _unpacked(path) as stream:
            whole = _Capped(stream, shown)
            with tarfile.open(fileobj=whole, mode="r|") as tar:
                for member in tar:
                    name = PurePosixPath(member.name)
                    if not member.isreg() or member.issparse() or not is_link_file(name):
                        continue
                    _check_size(f"{shown}: {member.name}", member.size)
                    content = tar.extractfile(member)
                    yield name.stem, content.read() if content else b""
            # In an archive truncated between two members, tarfile ends silently; reading further raises.
            while whole.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        raise SourceError(
            f"{shown} is not a tar archive, or is damaged ({error}): give a .tar, .tar.gz, .tar.xz or .tar.bz2 file"
        ) from error


def _unpacked(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start == b"\xfd7zXZ\x00":
        return lzma.open(path)
    return bz2.open(path) if start.startswith(b"BZh") else path.open("rb")


class _Capped(io.RawIOBase):
    """Reads a stream up to `MAX_UNPACKED_BYTES`: a small archive must not keep a machine busy for hours."""

    def __init__(self, stream: io.BufferedIOBase, shown: str) -> None:
        super().__init__()
        self._stream = stream
        self._shown = shown
        self._num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        data = self._stream.read(size)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_UNPACKED_BYTES:
            raise SourceError(
                f"{self._shown} has over {MAX_UNPACKED_BYTES:,} bytes when decompressed: remove files that are not "
                f"link files"
            )
        return data


def _check_size(shown: str, num_bytes: int) -> None:
    if num_bytes > MAX_FILE_BYTES:
        raise SourceError(f"{shown} has {num_bytes:,} bytes, a link file has at most {MAX_FILE_BYTES:,}: remove it")
