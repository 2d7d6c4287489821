"""The web of the synthetic source: a dataset generated in the lake's folder, served on loopback during a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flows.configuration.settings import load_settings
from flows.selection import Selection
from flows.synthetic_size import synthetic_size
from flows.telemetry.progress import track
from storage.errors import LakeError, UsageError
from storage.files.atomic import make_folder
from storage.files.lake import Lake
from storage.leases.leases import alone
from tasks.links.link_location import read_origin

_SEED = 1
# The location of the links of a synthetic dataset that `_world_folder` made.
_WORLD = re.compile(r".*/world/([0-9]{1,9}x[0-9]{1,9})/links", re.DOTALL)


@contextmanager
def web_for(lake: Lake, selection: Selection) -> Iterator[Selection]:
    """Yield the selection; if the source is synthetic without links, serve a synthetic dataset and yield where.

    The synthetic dataset of the requested size is generated once and kept in `<lake>/world/`. A copied lake names the
    dataset it was fetched from, which is served only if it lies in that folder.

    Raises:
        LakeError: a link leads out of the dataset's folder.
        UsageError: the lake is not a local folder, people are selected by name before they are generated, or the
            selection is empty.
    """
    if selection.source != "synthetic" or selection.links is not None:
        yield selection
        return
    folder = _world_folder(lake, selection.identities, selection.per_identity)
    _refuse_links(folder)
    from synthetic.origin import serving  # noqa: PLC0415 - only the synthetic source needs a server, 0.2 CPU-s

    with serving(folder) as origin:
        yield replace(selection, links=str(folder / "links"), connect_to=f"127.0.0.1:{origin.port}")


def _world_folder(lake: Lake, identities: int | list[str] | None, per_identity: int | None) -> Path:
    if not lake.is_local:
        raise UsageError(
            f"a synthetic dataset needs a local lake, and {lake.url} is not local: run `facemill synthetic make` and "
            "`facemill synthetic serve`, then pass its links with --links and its address with --connect-to"
        )
    origin = lake.links("synthetic", "origin.json")
    if identities is None and per_identity is None and lake.exists(origin):
        return _own_world(lake)
    if isinstance(identities, list):
        raise UsageError(
            "synthetic people cannot be selected by name before they are generated: give a number with --identities"
        )
    people, each = synthetic_size(identities, per_identity)
    if people < 1 or each < 1:
        raise UsageError(
            f"a synthetic dataset of {people} people with {each} links each is empty: use at least 1 of both"
        )
    from synthetic.world import make_world  # noqa: PLC0415

    lake.begin()
    folder = lake.local_folder(f"world/{people}x{each}")
    make_folder(folder.parent)
    with (
        track("make world", people * each) as progress,
        alone(lake, "world", "synthetic", folder.name, good_for_s=load_settings().lease_s),
    ):
        make_world(
            folder,
            num_identities=people,
            per_identity=each,
            seed=_SEED,
            on_progress=lambda done, total: progress.reach(done),
        )
    return folder


def _own_world(lake: Lake) -> Path:
    """The synthetic dataset in the lake that its links were read from, even if the lake was moved since.

    Raises:
        UsageError: they were read from another place.
    """
    location = read_origin(lake, "synthetic").get("location") or ""
    name = _WORLD.fullmatch(location)
    folder = lake.local_folder(f"world/{name[1]}") if name else None
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"the links of synthetic in {lake.url} were read from {location!a}, which is no dataset in the lake: serve "
            "that one with `facemill synthetic serve`, and name its links with --links and its address with "
            "--connect-to"
        )
    return folder


def _refuse_links(folder: Path) -> None:
    """Check that a synthetic dataset contains no links that lead out of its folder.

    Raises:
        LakeError: it contains one.
    """
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise LakeError(
                f"{path} is a symbolic link, which a synthetic dataset never has: remove {folder}, and run this again"
            )
