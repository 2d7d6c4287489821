"""Read the inventory of a lake: manifests, names, leases, and the sizes and ages of files. Nothing is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from storage.files.atomic import PREFIX
from storage.files.lake import Lake
from storage.files.paths import REPORTS
from storage.files.stored_files import StoredFile, stored_files
from storage.leases.lease_holders import Holders
from storage.text.names import NAME
from storage.versions.aliases import aliases, previous_champion
from storage.versions.datasets import DatasetVersion, all_versions
from storage.versions.models import ModelVersion, model_versions
from storage.versions.readers import read_version
from storage.versions.tags import tags
from storage.versions.tombstones import MANIFEST
from tasks.maintenance.prune.inventory import Inventory, Item, Kind, SharedFile, Version
from tasks.maintenance.shared_files import users_of_shared

# Arrays of `model.embedding.data`: name@version, `-less-<n>` after a takedown, split, size, format.
_FACES = re.compile(r"work/faces/(?P<name>[^@/]+)@(?P<version>[^@/]+?)(-less-\d+)?-(train|val|test)-\d+px-\d+\.npy")
_TIME_OF_QUARANTINE = "%Y%m%dT%H%M%S%f"
_REPORTS = f"work/{REPORTS}"
# What `train` and `clean` keep in `work/`; other files there are not touched.
_WORK = re.compile(r"work/((faces|embeddings|histograms)/.+|checkpoint-[^/]+\.safetensors)")


def gather(lake: Lake, found: Holders) -> Inventory:
    """All that a prune decides on.

    Args:
        found: the leases of the lake.
    """
    sizes = _sizes(lake)
    datasets, models = all_versions(lake, pruned=True), model_versions(lake, pruned=True)
    described = [*_datasets(lake, datasets, sizes), *_models(lake, models, sizes)]
    pruned = {one.folder for one in datasets if one.pruned} | {one.folder for one in models if one.pruned}
    return Inventory(
        versions=tuple(one for one in described if one.path not in pruned),
        unfinished=tuple(one for one in described if one.path in pruned and one.num_bytes),
        shared=tuple(_shared(lake)),
        items=(*_unique(lake), *_cleaned(lake), *_quarantine(lake), *_work(lake, described)),
        gone_leases=tuple(one.path for one in found.gone),
        held=frozenset(version for one in found.running if (version := read_version(one))),
        working=frozenset((one.stage, one.of, one.unit) for one in found.running),
    )


def _files(lake: Lake, folder: str) -> list[StoredFile]:
    """The files in a folder and below it, without those that are still being written."""
    return [file for file in stored_files(lake, folder) if not file.path.rpartition("/")[2].startswith(PREFIX)]


def _sizes(lake: Lake) -> dict[str, int]:
    """The bytes of each version's folder without its manifest, and of each model version's evaluations."""
    found: dict[str, int] = defaultdict(int)
    for folder in ("datasets", "models", "evaluations"):
        for file in _files(lake, folder):
            if folder == "evaluations" or not file.path.endswith(f"/{MANIFEST}"):
                found["/".join(file.path.split("/")[:3])] += file.num_bytes
    return found


def _datasets(lake: Lake, versions: list[DatasetVersion], sizes: dict[str, int]) -> Iterator[Version]:
    borne = {name: tags(lake, name) for name in {one.name for one in versions}}
    for version in versions:
        names = sorted(tag for tag, one in borne[version.name].items() if one == version.version)
        source, cleaning = version.manifest.get("source"), version.manifest.get("cleaning")
        found = Version(
            Kind.DATASETS,
            version.name,
            version.version,
            _time(version.manifest["published_at"]),
            sizes[version.folder],
            bearing=f"it has the tag {', '.join(names)}" if names else "",
            scored_by=cleaning["model"] if cleaning else None,
            writer=("publish", source, "all") if source else None,
        )
        yield _marked(found, version.pruned)


def _shared(lake: Lake) -> Iterator[SharedFile]:
    for dataset in filter(NAME.fits, lake.names("datasets")):
        files: dict[str, list[StoredFile]] = defaultdict(list)
        for file in (*_files(lake, lake.shards(dataset)), *_files(lake, lake.shared_lines(dataset))):
            files[file.path.rpartition(".")[0]].append(file)
        users = users_of_shared(lake, dataset) if files else {}
        for path, theirs in files.items():
            # The rows of a shard go first: without them its tar is no shard.
            paths = sorted((file.path for file in theirs), key=lambda one: not one.endswith(".parquet"))
            yield SharedFile(
                dataset, tuple(paths), sum(file.num_bytes for file in theirs), users.get(path, frozenset())
            )


def _models(lake: Lake, versions: list[ModelVersion], sizes: dict[str, int]) -> Iterator[Version]:
    # The folder is what names a version; a manifest that was copied may say otherwise.
    places = {version.folder: version.folder.split("/")[1:] for version in versions}
    names = {name for name, _ in places.values()}
    borne, before = (
        {name: aliases(lake, name) for name in names},
        {name: previous_champion(lake, name) for name in names},
    )
    for version in versions:
        name, number = places[version.folder]
        words = " and ".join(f"the {alias}" for alias, one in sorted(borne[name].items()) if one == number)
        returns = "`models rollback` would return to it" if before[name] == number else ""
        found = Version(
            Kind.MODELS,
            name,
            number,
            _time(version.manifest.get("trained_at") or ""),
            sizes[version.folder] + sizes[lake.evaluations(name, number)],
            bearing=f"it is {words}" if words else returns,
            dataset=version.manifest.get("dataset"),
            writer=("train", name, number),
        )
        yield _marked(found, version.pruned)


def _marked(version: Version, pruned: dict[str, Any] | None) -> Version:
    """The version with what its tombstone says, if it has one."""
    if pruned is None:
        return version
    is_whole = 0 < pruned["bytes"] <= version.num_bytes
    return replace(version, is_marked_whole=is_whole, even_lineage=bool(pruned.get("even_lineage")))


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _unique(lake: Lake) -> Iterator[Item]:
    for file in _files(lake, "unique"):
        _, source, name = file.path.split("/", 2)
        if name.endswith(".parquet") and "/" not in name:
            yield _item(Kind.UNIQUE, [file], f"unique/{source}", source=source, newest_stays=True)


def _cleaned(lake: Lake) -> Iterator[Item]:
    for folder, files in _by_folder(_files(lake, lake.cleaned()), 5).items():
        _, _, source, name, version = folder.split("/")
        # The faces are written last, so they go first: without them the folder is no table of scores.
        files.sort(key=lambda file: not file.path.endswith("/faces.parquet"))
        is_here = lake.exists(f"{lake.model(name, version)}/{MANIFEST}")
        yield _item(
            Kind.CLEANED,
            files,
            folder.rpartition("/")[0],
            paths=(*(file.path for file in files), folder),
            of=f"models/{name}@{version}" if is_here else None,
            source=source,
            newest_stays=not is_here,
        )


def _quarantine(lake: Lake) -> Iterator[Item]:
    for folder, files in _by_folder(stored_files(lake, lake.quarantine()), 2).items():
        try:
            at = datetime.strptime(folder.split("/")[1], _TIME_OF_QUARANTINE).replace(tzinfo=UTC)
        except ValueError:
            at = max(file.modified for file in files)
        yield _item(Kind.QUARANTINE, files, "quarantine", paths=(folder,), at=at)


def _work(lake: Lake, versions: Iterable[Version]) -> Iterator[Item]:
    reports = {_report(lake, one): f"{one.kind}/{one}" for one in versions}
    for file in _files(lake, "work"):
        if file.path.startswith(f"{_REPORTS}/"):
            yield _item(Kind.REPORTS, [file], "reports", of=reports.get(file.path))
        elif faces := _FACES.fullmatch(file.path):
            yield _item(Kind.WORK, [file], "work", of=f"datasets/{faces['name']}@{faces['version']}")
        elif _WORK.fullmatch(file.path):
            yield _item(Kind.WORK, [file], "work")


def _report(lake: Lake, version: Version) -> str:
    """The page that `facemill report` or `facemill models report` writes of a version."""
    return f"work/{lake.report(version.name, version.version, of_model=version.kind is Kind.MODELS)}"


def _by_folder(files: Iterable[StoredFile], depth: int) -> dict[str, list[StoredFile]]:
    """Files by the first parts of their paths; those that lie higher are left out."""
    found: dict[str, list[StoredFile]] = defaultdict(list)
    for file in files:
        parts = file.path.split("/")
        if len(parts) > depth:
            found["/".join(parts[:depth])].append(file)
    return found


def _item(
    kind: Kind,
    files: list[StoredFile],
    group: str,
    *,
    paths: tuple[str, ...] = (),
    at: datetime | None = None,
    of: str | None = None,
    source: str | None = None,
    newest_stays: bool = False,
) -> Item:
    return Item(
        kind,
        paths or tuple(file.path for file in files),
        group,
        at or max(file.modified for file in files),
        sum(file.num_bytes for file in files),
        of,
        source,
        newest_stays,
    )
