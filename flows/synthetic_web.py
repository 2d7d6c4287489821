"""The synthetic source's web: a world made beside the lake and served on loopback for as long as a run needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.settings import load_settings
from flows.telemetry.progress import track
from storage.atomic import make_folder
from storage.errors import LakeError, UsageError
from storage.lake import Lake
from storage.leases import alone
from synthetic.origin import serving
from synthetic.world import make_world
from tasks.links.collect import read_origin

_IDENTITIES, _PER_IDENTITY, _SEED = 40, 30, 1
# The links of a world that `_world_folder` made.
_WORLD = re.compile(r".*/world/([0-9]{1,9}x[0-9]{1,9})/links", re.DOTALL)


class Web(NamedTuple):
    """Where the link files are, and where every request goes (None: to its own host)."""

    links: str | None
    connect_to: str | None


@contextmanager
def web_for(
    lake: Lake,
    source: str,
    links: str | None,
    connect_to: str | None,
    identities: int | list[str] | None = None,
    per_identity: int | None = None,
) -> Iterator[Web]:
    """What was asked for, unless the source is synthetic and no links were named: then a made world, served.

    A world of the asked size is made once and kept in `<lake>/world/`. A lake from elsewhere says which one it was made
    from, and that one is played only if it lies there.

    Raises:
        LakeError: a link leads out of the world.
        UsageError: the lake is not a local folder, people of a world still to be made were asked for by name, or
            nobody was asked for.
    """
    if source != "synthetic" or links is not None:
        yield Web(links, connect_to)
        return
    folder = _world_folder(lake, identities, per_identity)
    _refuse_links(folder)
    with serving(folder) as origin:
        yield Web(str(folder / "links"), f"127.0.0.1:{origin.port}")


def _world_folder(lake: Lake, identities: int | list[str] | None, per_identity: int | None) -> Path:
    if not lake.is_local:
        raise UsageError(
            f"a made world needs a local lake, and {lake.url} is none: `facemill world make` and `serve` one, then "
            "name its links with --links and its address with --connect-to"
        )
    origin = lake.links("synthetic", "origin.json")
    if identities is None and per_identity is None and lake.exists(origin):
        return _own_world(lake)
    if isinstance(identities, list):
        raise UsageError(
            "the people of a made world have no names before it is made: ask for a number with --identities"
        )
    people = _IDENTITIES if identities is None else identities
    each = _PER_IDENTITY if per_identity is None else per_identity
    if people < 1 or each < 1:
        raise UsageError(f"a made world of {people} people with {each} links each holds nobody: ask for at least 1")
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
    """The world in the lake that its links were read from; where the lake lay then does not matter.

    Raises:
        UsageError: they were read from somewhere else, which a lake alone may not name.
    """
    told = read_origin(lake, "synthetic").get("location") or ""
    name = _WORLD.fullmatch(told)
    folder = lake.local_folder(f"world/{name[1]}") if name else None
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"the links of synthetic in {lake.url} were read from {told!a}, which is no world in this lake: serve that "
            "one with `facemill world serve`, and name its links with --links and its address with --connect-to"
        )
    return folder


def _refuse_links(folder: Path) -> None:
    """See that all of a world lies in its folder, whoever made it.

    Raises:
        LakeError: it does not.
    """
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise LakeError(f"{path} is a link, and a made world holds none: remove {folder}, and run the same again")
