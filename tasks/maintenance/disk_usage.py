"""How many bytes a lake takes: by kind, and by version."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from storage.files.lake import Lake
from storage.files.paths import LINES, NOT_VERSIONS, SHARDS
from storage.files.stored_files import StoredFile, stored_files
from storage.text.names import NAME
from storage.versions.tombstones import MANIFEST, is_pruned
from tasks.maintenance.shared_files import users_of_shared

# The folders of a lake in the order in which they are filled.
_KINDS = (
    "links", "plan", "images", "unique", "detections", "faces", "cleaned", "datasets", "models", "evaluations",
    "experiments", "leases", "merged", "cache", "takedowns", "quarantine", "work", "world",
)  # fmt: skip
_OTHER = "other"
_OF_VERSIONS = ("datasets", "models")
_SHARED = (SHARDS, LINES)


def disk_usage(lake: Lake) -> dict[str, Any]:
    """The bytes and files of a lake.

    Returns:
        In all; by kind, the folders of the lake; by version of datasets and models, its own bytes, and the
        `shared_bytes` of files that other versions use too; and the bytes that are free on the disk of a local lake,
        else None. Of a lake in a bucket, `work` is the folder of this machine.
    """
    files = stored_files(lake)
    kinds = _summed(files, 1)
    known = [kind for kind in _KINDS if kind in kinds]
    others = [kinds[kind] for kind in kinds if kind not in _KINDS]
    shown = {kind: kinds[kind] for kind in known}
    if others:
        shown[_OTHER] = {name: sum(one[name] for one in others) for name in ("bytes", "files")}
    return {
        "lake": lake.url,
        "bytes": sum(file.num_bytes for file in files),
        "files": len(files),
        "kinds": shown,
        "versions": {kind: _versions(lake, kind, files) for kind in _OF_VERSIONS if kind in kinds},
        "free_bytes": shutil.disk_usage(lake.root).free if lake.is_local else None,
    }


def _versions(lake: Lake, kind: str, files: list[StoredFile]) -> list[dict[str, Any]]:
    mine = [file for file in files if file.path.startswith(f"{kind}/") and file.path.count("/") > 2]
    whole = {file.path.rpartition("/")[0] for file in mine if file.path.endswith(f"/{MANIFEST}")}
    shared = _shared(lake, mine) if kind == "datasets" else {}
    found = []
    for folder, sizes in _summed(mine, 3).items():
        _, name, version = folder.split("/")
        if NAME.fits(name) and NAME.fits(version) and version not in NOT_VERSIONS:
            pruned = folder in whole and is_pruned(lake, folder)
            shards = shared.get(f"{name}@{version}", [])
            own = {what: num + sum(one[what] for users, one in shards if users == 1) for what, num in sizes.items()}
            shared_bytes = sum(one["bytes"] for users, one in shards if users > 1)
            found.append({"version": f"{name}@{version}", "pruned": pruned, **own, "shared_bytes": shared_bytes})
    return found


def _shared(lake: Lake, files: list[StoredFile]) -> dict[str, list[tuple[int, dict[str, int]]]]:
    """By version, of each shared file that it uses: how many versions do, and the bytes and files."""
    found: dict[str, list[tuple[int, dict[str, int]]]] = defaultdict(list)
    theirs = [file for file in files if file.path.split("/")[2] in _SHARED]
    sizes = _summed((file._replace(path=file.path.rpartition(".")[0]) for file in theirs), 4)
    for dataset in sorted({path.split("/")[1] for path in sizes}):
        for path, users in users_of_shared(lake, dataset).items():
            for version in users:
                found[version].append((len(users), sizes.get(path, {"bytes": 0, "files": 0})))
    return found


def _summed(files: Iterable[StoredFile], depth: int) -> dict[str, dict[str, int]]:
    """Bytes and files by the first parts of the paths."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"bytes": 0, "files": 0})
    for file in files:
        sums = found["/".join(file.path.split("/")[:depth])]
        sums["bytes"] += file.num_bytes
        sums["files"] += 1
    return dict(found)
