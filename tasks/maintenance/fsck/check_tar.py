"""Verify a tar against the index of its members: offsets, lengths and digests."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple

from storage.files.lake import Lake
from storage.records import bytes_digest
from tasks.maintenance.fsck.findings import Finding, Kind

_SHOWN = 3
# The exceptions of `tarfile` for invalid headers.
NOT_A_TAR = (tarfile.TarError, EOFError, ValueError, OverflowError)


class Member(NamedTuple):
    """The index entry of one member of a tar."""

    name: str
    offset: int
    length: int
    digest: bytes
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class TarFacts:
    """The measured properties of a tar.

    Attributes:
        num_bytes: its length; None if it does not exist.
        headers: name, offset and length of each member, as far as the headers can be read; None if they were not read.
        broken: the members whose bytes do not match their digest, as positions in the index.
    """

    num_bytes: int | None
    headers: frozenset[tuple[str, int, int]] | None = None
    broken: frozenset[int] = frozenset()


def read_tar(lake: Lake, path: str, members: Sequence[Member], *, quick: bool) -> TarFacts:
    """Inspect a tar; `quick` reads none of its bytes."""
    num_bytes = lake.size(path)
    if num_bytes is None or quick:
        return TarFacts(num_bytes)
    with lake.open(path) as file:
        broken = [
            at
            for at, member in enumerate(members)
            if member.offset + member.length > num_bytes or not _is_whole(file, member)
        ]
        return TarFacts(num_bytes, _headers(file), frozenset(broken))


def tar_findings(
    path: str, members: Sequence[Member], facts: TarFacts, *, beside: frozenset[str] = frozenset()
) -> list[Finding]:
    """The findings of a tar.

    Args:
        path: the path of the findings.
        beside: names of members that may exist without a row of the index.
    """
    num_bytes = facts.num_bytes
    if num_bytes is None:
        words = f"the index has {len(members)} members, and the tar is missing"
        missing = Finding(Kind.NO_TAR, path, words, frozenset(member.key for member in members))
        return [missing] if members else []
    beyond = {at for at, member in enumerate(members) if member.offset + member.length > num_bytes}
    broken = [members[at] for at in sorted(beyond | facts.broken)]
    found = []
    if broken:
        names = _some([member.name for member in broken])
        words = f"{len(broken)} of {len(members)} members do not match the index: {names}"
        found.append(Finding(Kind.BROKEN_BYTES, path, words, frozenset(member.key for member in broken)))
    if not found and num_bytes % tarfile.RECORDSIZE:
        found.append(Finding(Kind.BROKEN_TAR, path, f"the tar of {num_bytes} bytes is truncated"))
    if facts.headers is not None and not found:
        found += _header_findings(path, members, facts.headers, beside)
    return found


def _header_findings(
    path: str, members: Sequence[Member], headers: frozenset[tuple[str, int, int]], beside: frozenset[str]
) -> list[Finding]:
    named = {(member.name, member.offset, member.length) for member in members}
    missing = [name for name, *_ in sorted(named - headers)]
    unnamed = [name for name, *_ in sorted(headers - named) if name not in beside]
    if missing:
        return [Finding(Kind.BROKEN_TAR, path, f"the tar's headers lack {_some(missing)}")]
    return [Finding(Kind.BROKEN_TAR, path, f"the index has no row for {_some(unnamed)}")] if unnamed else []


def _is_whole(file: IO[bytes], member: Member) -> bool:
    file.seek(member.offset)
    return bytes_digest(file.read(member.length)) == member.digest


def _headers(file: IO[bytes]) -> frozenset[tuple[str, int, int]]:
    """The members of a tar up to the first header that cannot be read; `tarfile` cannot read beyond it."""
    file.seek(0)
    found = set()
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                found.add((member.name, member.offset_data, member.size))
    except NOT_A_TAR:
        pass
    return frozenset(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
