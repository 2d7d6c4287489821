"""Decide what goes, what stays, and why: a function of the inventory, the policy and the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from storage.text.source_names import sources_of
from storage.versions.sample_shards import STAGE as SHARDS
from storage.versions.sample_shards import UNIT
from tasks.maintenance.prune.inventory import Inventory, Item, Kind, Version
from tasks.maintenance.prune.policy import Policy

# Files in `work/` that belong to no version go at this age, unless `keep_within` gives another: they are caches of
# many small files, of which a number says nothing.
_CACHE_AGE = timedelta(days=7)
# Runs of these stages read or write `work/`.
_USE_WORK = frozenset({"train", "read"})


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing, and why it goes or stays.

    Attributes:
        even_lineage: the kept models that were trained on it, where it goes in spite of them.
    """

    what: Version | Item
    why: str
    even_lineage: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind of the thing."""
        return self.what.kind

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        facts = {"kind": self.kind.value, "what": str(self.what), "bytes": self.what.num_bytes, "why": self.why}
        return facts | ({"even_lineage": list(self.even_lineage)} if self.even_lineage else {})


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes and what stays.

    Attributes:
        unfinished: versions pruned before, of which files are left.
        restored: versions that a killed prune has marked but not begun to remove, and which are in use, with
            the reason: the mark goes.
        gone_leases: lease files of ended runs.
        known_models: the model versions that it decided on.
    """

    goes: tuple[Decision, ...] = ()
    stays: tuple[Decision, ...] = ()
    unfinished: tuple[Version, ...] = ()
    restored: tuple[tuple[Version, str], ...] = ()
    gone_leases: tuple[str, ...] = ()
    known_models: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def num_bytes(self) -> int:
        """The bytes that come back."""
        return sum(one.what.num_bytes for one in self.goes) + sum(one.num_bytes for one in self.unfinished)

    def __bool__(self) -> bool:
        return bool(self.goes or self.unfinished or self.restored or self.gone_leases)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "goes": [one.to_json() for one in self.goes],
            "stays": [one.to_json() for one in self.stays],
            "unfinished": [str(one) for one in self.unfinished],
            "restored": [{"what": str(version), "why": why} for version, why in self.restored],
            "gone_leases": list(self.gone_leases),
            "bytes": self.num_bytes,
        }


@dataclass(slots=True)
class _Sorted:
    goes: list[Decision] = field(default_factory=list)
    stays: list[Decision] = field(default_factory=list)

    def add(self, what: Version | Item, stays: str | None, goes: str, lineage: tuple[str, ...] = ()) -> None:
        if stays is not None:
            self.stays.append(Decision(what, stays))
        else:
            self.goes.append(Decision(what, goes, lineage))

    def of(self, kind: Kind) -> set[str]:
        """The versions of a kind that stay."""
        return {str(one.what) for one in self.stays if one.kind is kind}


def decide(inventory: Inventory, policy: Policy, now: datetime) -> Plan:
    """Decide for everything in the inventory. Models first: they keep the datasets they were trained on.

    Args:
        now: the time by which ages are counted.
    """
    found = _Sorted()
    for rank, model in _ranked(inventory.versions, Kind.MODELS):
        found.add(model, _why_version_stays(model, rank, inventory, policy, now), policy.why_removed)
    lineage = _lineage(found.stays)
    for rank, dataset in _ranked(inventory.versions, Kind.DATASETS):
        trained = lineage[str(dataset)]
        stays = _why_version_stays(dataset, rank, inventory, policy, now)
        if stays is None and trained and not policy.even_lineage:
            stays = f"{trained[0]} was trained on it"
        found.add(dataset, stays, policy.why_removed, trained)
    if not policy.even_lineage:
        _keep_cleaners(found)
        lineage = _lineage(found.stays)
    _decide_items(found, inventory, policy, now)
    marked = {
        one: _why_marked_stays(one, inventory, lineage)
        for one in inventory.unfinished
        if one.writer not in inventory.working
    }
    restored = {str(one) for one, why in marked.items() if why}
    found.goes += _shared_that_go(inventory, found.of(Kind.DATASETS) | restored, policy)
    return Plan(
        goes=tuple(found.goes),
        stays=tuple(found.stays),
        unfinished=tuple(one for one, why in marked.items() if why is None),
        restored=tuple((one, why) for one, why in marked.items() if why and one.is_marked_whole),
        gone_leases=inventory.gone_leases if policy.is_set else (),
        known_models=frozenset(str(one) for one in inventory.versions if one.kind is Kind.MODELS),
    )


def _shared_that_go(inventory: Inventory, staying: set[str], policy: Policy) -> Iterator[Decision]:
    """The shared files that no version which stays uses, of datasets that nobody publishes at the moment."""
    for one in inventory.shared if policy.is_set else ():
        if not one.users & staying and (SHARDS, one.dataset, UNIT) not in inventory.working:
            yield Decision(
                Item(Kind.SHARED, one.paths, one.dataset, None, one.num_bytes), "no version that stays uses it"
            )


def _ranked(versions: Iterable[Version], kind: Kind) -> Iterator[tuple[int, Version]]:
    """The versions of a kind; the newest of each name is 0."""
    by_name: dict[str, list[Version]] = defaultdict(list)
    for one in versions:
        if one.kind is kind:
            by_name[one.name].append(one)
    for some in by_name.values():
        yield from reversed(list(enumerate(reversed(some))))


def _lineage(stays: Iterable[Decision]) -> dict[str, tuple[str, ...]]:
    """The models that stay, by the dataset version they were trained on."""
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for one in stays:
        if isinstance(one.what, Version) and one.what.dataset:
            found[one.what.dataset] += (str(one.what),)
    return found


def _keep_cleaners(found: _Sorted) -> None:
    """Keep the models by which kept versions were cleaned, and what these models were trained on.

    Without them the next cleaning run would train, clean and train again, though nothing has changed.
    """
    while True:
        cleaned = {one.what.scored_by: one.what for one in found.stays if isinstance(one.what, Version)}
        trained = {one.what.dataset: one.what for one in found.stays if isinstance(one.what, Version)}
        kept = {
            one: f"{user} was {'cleaned by' if one.kind is Kind.MODELS else 'trained on'} it"
            for one in found.goes
            if (user := (cleaned if one.kind is Kind.MODELS else trained).get(str(one.what)))
        }
        if not kept:
            return
        found.goes = [one for one in found.goes if one not in kept]
        found.stays += [Decision(one.what, why) for one, why in kept.items()]


def _why_version_stays(version: Version, rank: int, inventory: Inventory, policy: Policy, now: datetime) -> str | None:
    if version.bearing:
        return version.bearing
    if rank == 0:
        return "the newest"
    if f"{version.kind}/{version}" in inventory.held:
        return "a run reads it"
    if version.writer in inventory.working:
        return "a run writes it, or others of its source"
    return policy.why_kept(rank, _age(version, now))


def _why_marked_stays(version: Version, inventory: Inventory, lineage: dict[str, tuple[str, ...]]) -> str | None:
    """Why a version that a killed prune has marked is not removed; None if it is.

    Somebody may have begun to use it just before it was marked. The prune would have seen that, and taken it back.
    """
    if f"{version.kind}/{version}" in inventory.held:
        return "a run reads it"
    trained = version.kind is Kind.DATASETS and not version.even_lineage and lineage.get(str(version))
    return version.bearing or (f"{trained[0]} was trained on it" if trained else None)


def _decide_items(found: _Sorted, inventory: Inventory, policy: Policy, now: datetime) -> None:
    ranks: dict[str, int] = defaultdict(int)
    staying = {kind: found.of(kind) for kind in (Kind.DATASETS, Kind.MODELS)}
    scorers = {
        one.what.scored_by: str(one.what) for one in found.stays if isinstance(one.what, Version) and one.what.scored_by
    }
    busy = {source for stage, of, _ in inventory.working if stage not in _USE_WORK for source in sources_of(of)}
    uses_work = any(stage in _USE_WORK for stage, _, _ in inventory.working)
    for item in sorted(inventory.items, key=lambda one: (one.at is not None, one.at), reverse=True):
        rank = ranks[item.group]
        ranks[item.group] += 1
        if item.kind in {Kind.WORK, Kind.REPORTS} and uses_work:
            found.add(item, "a run may read it", "")
        elif item.source and busy.intersection(sources_of(item.source)):
            found.add(item, f"a run works on {item.source}", "")
        elif item.kind is Kind.CLEANED and (cleaned := scorers.get(_scored_by(item))):
            found.add(item, f"{cleaned} was cleaned by it", "")
        elif item.of:
            kind, _, version = item.of.partition("/")
            found.add(item, *_why_with_version(version, version in staying[Kind(kind)], policy))
        elif item.kind in {Kind.WORK, Kind.REPORTS}:
            found.add(item, *_why_by_age(item, policy, now))
        elif rank == 0 and item.newest_stays:
            found.add(item, "the newest", "")
        else:
            found.add(item, policy.why_kept(rank, _age(item, now)), policy.why_removed)


def _scored_by(item: Item) -> str:
    """The model, `name@version`, of a folder of label noise scores."""
    return "@".join(str(item).split("/")[-2:])


def _why_with_version(version: str, is_staying: bool, policy: Policy) -> tuple[str | None, str]:
    """Why something stays that belongs to a version, and else why it goes."""
    if not policy.is_set:
        return "no policy is set", ""
    return (f"{version} stays" if is_staying else None), f"{version} goes, or is not in the lake"


def _why_by_age(item: Item, policy: Policy, now: datetime) -> tuple[str | None, str]:
    if not policy.is_set:
        return "no policy is set", ""
    age, limit = _age(item, now), policy.age or _CACHE_AGE
    words = policy.words_of_age or f"{_CACHE_AGE.days} days"
    return (f"younger than {words}" if age is None or age <= limit else None), f"older than {words}"


def _age(what: Version | Item, now: datetime) -> timedelta | None:
    return None if what.at is None else now - what.at
