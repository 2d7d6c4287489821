"""The web of the synthetic source: a dataset generated in the lake's folder, served on loopback during a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.settings import load_settings
from flows.telemetry.progress import track
from storage.atomic import make_folder
from storage.errors import UsageError
from storage.lake import Lake
from storage.leases import alone
from synthetic.origin import serving
from synthetic.world import make_world
from tasks.links.collect import read_origin

_IDENTITIES, _PER_IDENTITY, _SEED = 40, 30, 1


class Web(NamedTuple):
    """Location of the link files, and the address of all requests (None: each request's own host)."""

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
    """Yield the given links and address; if the source is synthetic without links, serve a synthetic dataset.

    The synthetic dataset of the requested size is generated once and kept in `<lake>/world/`.

    Raises:
        UsageError: the lake is not a local folder, people are selected by name before they are generated, or the
            selection is empty.
    """
    if source != "synthetic" or links is not None:
        yield Web(links, connect_to)
        return
    folder = _world_folder(lake, identities, per_identity)
    with serving(folder) as origin:
        yield Web(str(folder / "links"), f"127.0.0.1:{origin.port}")


def _world_folder(lake: Lake, identities: int | list[str] | None, per_identity: int | None) -> Path:
    if not lake.is_local:
        raise UsageError(
            f"a synthetic dataset needs a local lake, and {lake.url} is not local: run `facemill world make` and "
            "`facemill world serve`, then pass its links with --links and its address with --connect-to"
        )
    origin = lake.links("synthetic", "origin.json")
    if identities is None and per_identity is None and lake.exists(origin):
        return Path(read_origin(lake, "synthetic")["location"]).parent
    if isinstance(identities, list):
        raise UsageError(
            "synthetic people cannot be selected by name before they are generated: give a number with --identities"
        )
    people = _IDENTITIES if identities is None else identities
    each = _PER_IDENTITY if per_identity is None else per_identity
    if people < 1 or each < 1:
        raise UsageError(
            f"a synthetic dataset of {people} people with {each} links each is empty: use at least 1 of both"
        )
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
