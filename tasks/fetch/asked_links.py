"""Whether the links of a selection are planned, and whether all of them have been asked for, kept between runs.

Both stay true as shards are added, so a night that fetches again what was due makes neither untrue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storage.files.lake import Lake
from storage.stamps.cached_results import file_state, read_cached, state_of, table_states, write_cached
from storage.text.json_shapes import COUNT, TEXT, Shape

_SHAPE: Shape = {"candidates": COUNT, "shards?": {"*": TEXT}}


class Planned(NamedTuple):
    """A plan that is up to date.

    Attributes:
        shards: by stem, the state of the shards in which all its links were asked for; None if not all were.
    """

    num_candidates: int
    shards: dict[str, str] | None = None

    def is_asked(self, lake: Lake, source: str) -> bool:
        """Whether all links have been asked for."""
        return self.shards is not None and self.shards.items() <= table_states(lake, lake.images(source)).items()


def plan_state(lake: Lake, source: str, identities: int | Sequence[str] | None, per_identity: int | None) -> str:
    """The state of the lines and of the plan of a source, and the selection (`plan.plan`)."""
    files = [file_state(lake, path) for path in (lake.links(source, "lines.parquet"), lake.plan(source))]
    return state_of(files, identities, per_identity)


def read_planned(lake: Lake, source: str, state: str) -> Planned | None:
    """The plan of this state, if it is known to be that of its lines and selection."""
    known = read_cached(lake, _name(source), state, _SHAPE)
    return Planned(known["candidates"], known.get("shards")) if known else None


def keep_planned(lake: Lake, source: str, state: str, planned: Planned) -> None:
    """Keep that the plan of this state is that of its lines and selection."""
    shards = {} if planned.shards is None else {"shards": planned.shards}
    write_cached(lake, _name(source), state, {"candidates": planned.num_candidates, **shards})


def _name(source: str) -> str:
    return f"plan/{source}"
