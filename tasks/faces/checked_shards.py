"""Shards whose faces were found up to date, kept so that they are not compared again while nothing has changed.

To compare a shard with the stamps of its faces, its pictures are joined to the list, which costs CPU-milliseconds a
shard. What was up to date is so as long as the files of the shard, the list and the settings are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from storage.files.lake import Lake
from storage.stamps.cached_results import file_state, read_cached, state_of, table_states, write_cached
from storage.stamps.stamped_fields import counted
from storage.tables.parquet import stamp
from storage.text.json_shapes import TEXT
from storage.versions.takedowns import takedown_state
from tasks.faces.detectors import DetectorSettings
from tasks.faces.methods import CropSettings


@dataclass(frozen=True, slots=True)
class CheckedShards:
    """What is known of the shards of a source, for some crop methods and settings.

    Attributes:
        name: the cached result.
        state: of what all shards depend on.
        known: by the stem of a shard that was up to date, the state of its tables then.
        now: by the stem of each shard, the state of its tables.
    """

    name: str
    state: str
    known: dict[str, str]
    now: dict[str, str]

    def unchecked(self) -> list[str]:
        """The stems of the shards that may be out of date, in order."""
        return sorted(stem for stem, state in self.now.items() if self.known.get(stem) != state)

    def keep(self, lake: Lake, up_to_date: Collection[str]) -> None:
        """Keep that these shards are up to date, as they are in `now`, besides those that runs have kept so far."""
        kept = _kept(lake, self.name, self.state)
        known = {stem: state for stem, state in kept.items() if stem in self.now}
        checked = known | {stem: self.now[stem] for stem in up_to_date if stem in self.now}
        if checked != kept:
            write_cached(lake, self.name, self.state, checked)


def checked_shards(
    lake: Lake, source: str, methods: Sequence[str], detector: DetectorSettings, crops: CropSettings
) -> CheckedShards:
    """List the shards of a source, and which of them are known to be up to date."""
    name = f"crop/{source}-by-{'-'.join(sorted(methods))}"
    links = [file_state(lake, lake.links(source, one)) for one in ("lines.parquet", "recipe.json")]
    settings = counted("detect", detector), counted("crop", crops)
    state = state_of(links, file_state(lake, lake.plan(source)), takedown_state(lake, source), settings)
    folders = [lake.images(source), lake.detections(source), *(lake.faces(one, source) for one in sorted(methods))]
    images, *others = [table_states(lake, folder) for folder in folders]
    now = {stem: stamp(one, [other.get(stem) for other in others]) for stem, one in images.items()}
    return CheckedShards(name, state, _kept(lake, name, state), now)


def _kept(lake: Lake, name: str, state: str) -> dict[str, str]:
    return read_cached(lake, name, state, {"*": TEXT}) or {}
