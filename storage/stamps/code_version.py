"""The version of the running code, recorded in manifests."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ROOMS = ("facemill", "flows", "tasks", "model", "storage", "synthetic", "stats")


@cache
def code_version() -> dict[str, str | None]:
    """The version of the package, a digest of its source files, and the commit it was checked out from, if it was.

    The digest also distinguishes files changed since the commit.
    """
    return {"facemill": _package_version(), "sources": _sources_digest(_ROOT), "revision": revision(_ROOT)}


def code_words(code: object) -> str:
    """The version that made something, as a person reads it; `code` is as `code_version` wrote it to a manifest."""
    if not isinstance(code, dict):
        return "an unknown version"
    revision = str(code.get("revision") or "")[:12]
    return f"facemill {code.get('facemill') or 'unknown'}" + (f" ({revision})" if revision else "")


def _package_version() -> str | None:
    """None where the code runs without being installed, as it may on a machine kept for training."""
    with suppress(PackageNotFoundError):
        return version("facemill")
    return None


def revision(root: Path) -> str | None:
    """The commit checked out in the folder `root`, read from git's files; None if it is not a checkout."""
    git = root / ".git"
    with suppress(OSError):
        if git.is_file():
            git = root / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        name = head.removeprefix("ref: ")
        return head if name == head else _resolved(git, name)
    return None


def _resolved(git: Path, name: str) -> str | None:
    """The commit of a branch: in a file of its own, or in one with the others."""
    shared = git / "commondir"
    folder = git / shared.read_text().strip() if shared.is_file() else git
    if (folder / name).is_file():
        return (folder / name).read_text().strip()
    packed = (line.split(" ") for line in (folder / "packed-refs").read_text().splitlines())
    return next((words[0] for words in packed if words[-1] == name), None)


def _sources_digest(root: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in (root / room).rglob("*.py")):
        sha.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]
