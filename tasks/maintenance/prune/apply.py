"""Carry out a plan. Everything it stands on is looked at once more: runs go on, and people give names, meanwhile.

A version is marked first (`tombstones`), then looked at again, and only then removed: a reader takes its lease, and a
user gives a name, before looking at the version once more, so of a reader and a prune at least one sees the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from storage.errors import FacemillError
from storage.files.lake import Lake
from storage.leases.leases import alone
from storage.text.names import NAME
from storage.versions.aliases import aliases, previous_champion
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion
from storage.versions.readers import reader_leases
from storage.versions.sample_shards import STAGE as SHARDS
from storage.versions.sample_shards import UNIT
from storage.versions.tags import tags
from storage.versions.tombstones import MANIFEST, is_pruned, remove_tombstone, write_tombstone
from tasks.maintenance.prune.decide import Decision, Plan
from tasks.maintenance.prune.finish import remove_remains
from tasks.maintenance.prune.inventory import Item, Kind, Version
from tasks.maintenance.shared_files import users_of_shared


@dataclass
class Pruned:
    """The result of a prune.

    Attributes:
        removed: what went: versions as `name@version`, others by their paths.
        kept: what was planned to go, and came into use meanwhile: why it stayed.
        num_bytes: of what went.
    """

    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    num_bytes: int = 0

    def add(self, what: Version | Item) -> None:
        """Count something as removed."""
        self.removed.append(str(what))
        self.num_bytes += what.num_bytes


def apply(
    lake: Lake,
    plan: Plan,
    *,
    by: str,
    now: datetime,
    good_for_s: float,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Pruned:
    """Remove what goes. A killed call is completed by the next one.

    Args:
        by: name of the user, for the tombstones.
        now: the time of the tombstones.
        good_for_s: of the leases that keep runs from writing a version which is being removed.
        on_progress: called with what is removed next.
    """
    done = Pruned()
    for path in plan.gone_leases:
        lake.remove(path)
        done.removed.append(path)
    for version in plan.unfinished:
        on_progress(str(version))
        with _writers_wait(lake, version, good_for_s):
            if is_pruned(lake, version.path):
                remove_remains(lake, version.path)
                done.add(version)
    for version, why in plan.restored:
        done.kept[str(version)] = why
        if is_pruned(lake, version.path):
            remove_tombstone(lake, version.path)
    for decision in plan.goes:
        on_progress(str(decision.what))
        if isinstance(decision.what, Item):
            # Shared files go last, when it is known which versions stay.
            if decision.kind is not Kind.SHARED:
                _remove_item(lake, decision.what)
                done.add(decision.what)
        elif objection := _prune_version(lake, decision.what, decision, plan, _entry(decision, by, now), good_for_s):
            done.kept[str(decision.what)] = objection
            # The dataset of a model that stays after all stays too.
            plan = replace(plan, known_models=plan.known_models - {str(decision.what)})
        else:
            done.add(decision.what)
    _remove_shared(lake, plan, done, good_for_s)
    return done


def _writers_wait(lake: Lake, version: Version, good_for_s: float) -> AbstractContextManager[Any]:
    """Keep runs from writing the version again within the block; one that does so at the moment is waited for."""
    return alone(lake, *version.writer, good_for_s=good_for_s) if version.writer else nullcontext()


def _entry(decision: Decision, by: str, now: datetime) -> dict[str, Any]:
    """The entry of a tombstone, without the digest of the manifest."""
    facts = {"at": now.isoformat(timespec="milliseconds"), "why": decision.why, "by": by}
    lineage = {"even_lineage": list(decision.even_lineage)} if decision.even_lineage else {}
    return {**facts, "bytes": decision.what.num_bytes, **lineage}


def _prune_version(
    lake: Lake, version: Version, decision: Decision, plan: Plan, entry: dict[str, Any], good_for_s: float
) -> str | None:
    """Remove a version; returns why it stays after all, or None."""
    manifest = f"{version.path}/{MANIFEST}"
    with _writers_wait(lake, version, good_for_s):
        if not lake.exists(manifest) or is_pruned(lake, version.path):
            return "it went meanwhile"
        if objection := _objection(lake, version, decision, plan):
            return objection
        before = write_tombstone(lake, version.path, entry)
        if objection := _objection(lake, version, decision, plan):
            lake.write(manifest, before)
            return objection
        remove_remains(lake, version.path)
    return None


def _objection(lake: Lake, version: Version, decision: Decision, plan: Plan) -> str | None:
    """What has come to need a version since the plan was made; None if nothing has."""
    borne = tags(lake, version.name) if version.kind is Kind.DATASETS else aliases(lake, version.name)
    if names := sorted(name for name, one in borne.items() if one == version.version):
        return f"it is now {', '.join(names)}"
    if version.kind is Kind.MODELS and previous_champion(lake, version.name) == version.version:
        return "`models rollback` would return to it now"
    if set(reader_leases(lake, version.kind, str(version))).difference(plan.gone_leases):
        return "a run reads it now"
    if version.kind is Kind.DATASETS and _is_under_takedown(lake, version):
        return "samples of it are taken down: run `facemill forget --purge` first"
    if version.kind is Kind.DATASETS and not decision.even_lineage:
        trained = (model for model in _new_models(lake, plan) if _is_on(lake, model, version))
        return next((f"{model} was trained on it" for model in trained), None)
    return None


def _is_under_takedown(lake: Lake, version: Version) -> bool:
    """Whether a version has samples that are taken down but not purged.

    Its manifest would say nothing of them, and so nobody could tell which models were trained on them.
    """
    found = DatasetVersion(lake, version.name, version.version)
    return not found.pruned and bool(pc.any(found.taken_down()).as_py())


def _new_models(lake: Lake, plan: Plan) -> Iterator[str]:
    """The model versions that the plan does not know to stay or to go."""
    for name in filter(NAME.fits, lake.names("models")):
        for version in filter(NAME.fits, lake.names(lake.model(name))):
            if f"{name}@{version}" not in plan.known_models and lake.exists(f"{lake.model(name, version)}/{MANIFEST}"):
                yield f"{name}@{version}"


def _is_on(lake: Lake, model: str, dataset: Version) -> bool:
    try:
        found = ModelVersion(lake, *model.split("@"))
    except FacemillError:
        return False
    return not found.pruned and found.manifest.get("dataset") == str(dataset)


def _remove_shared(lake: Lake, plan: Plan, done: Pruned, good_for_s: float) -> None:
    """Remove the planned shared files that no version uses now."""
    by_dataset: dict[str, list[Item]] = defaultdict(list)
    for decision in plan.goes:
        if isinstance(decision.what, Item) and decision.kind is Kind.SHARED:
            by_dataset[decision.what.group].append(decision.what)
    for dataset, items in by_dataset.items():
        with alone(lake, SHARDS, dataset, UNIT, good_for_s=good_for_s) as lease:
            users = users_of_shared(lake, dataset)
            for item in items:
                lease.check()
                if using := users.get(item.paths[0].rpartition(".")[0]):
                    done.kept[str(item)] = f"{min(using)} uses it now"
                else:
                    _remove_item(lake, item)
                    done.add(item)


def _remove_item(lake: Lake, item: Item) -> None:
    for path in item.paths:
        if path.startswith("work/"):
            lake.remove_leftover(path)  # of a lake in a bucket, `work/` is on this machine
        else:
            lake.remove(path)
