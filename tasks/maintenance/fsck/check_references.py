"""Check references to versions: aliases, tags, models, evaluations, experiments and label noise scores.

Each of these is valid by itself, so no other check detects a version that was removed by hand. A reference to a version
that was pruned is a note, unless it is an alias or a tag: those keep a version.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from enum import Enum, auto

from storage.errors import FacemillError
from storage.files.lake import Lake
from storage.text.names import NAME, VERSIONED
from storage.versions.alias_events import AliasEvent, current
from storage.versions.aliases import read_event
from storage.versions.datasets import DatasetVersion
from storage.versions.evaluations import Evaluation
from storage.versions.experiments import read_experiment
from storage.versions.models import ModelVersion
from storage.versions.tags import read_tag_event
from storage.versions.tombstones import is_pruned
from tasks.maintenance.fsck.findings import Finding, Kind

# Embedders that are not model versions: histograms fitted to a dataset, and weights from outside the lake.
_NOT_OF_THE_LAKE = frozenset({"histograms", "facenet"})


class _State(Enum):
    THERE = auto()
    PRUNED = auto()
    GONE = auto()


def check_lineage(lake: Lake) -> list[Finding]:
    """Every dangling reference in the lake, every unreadable file of references, and notes on pruned versions."""
    return [
        finding
        for check in (_aliases, _tags, _models, _evaluations, _experiments, _cleaned, _datasets)
        for finding in check(lake)
    ]


def _aliases(lake: Lake) -> Iterator[Finding]:
    for model in _names(lake, "models"):
        borne = yield from _events(lake, lake.aliases(model), read_event)
        for alias, version in borne.items():
            yield from _named(lake, lake.aliases(model), f"the {alias} is", "models", f"{model}@{version}")


def _tags(lake: Lake) -> Iterator[Finding]:
    for dataset in _names(lake, "datasets"):
        borne = yield from _events(lake, lake.tags(dataset), read_tag_event)
        for tag, version in borne.items():
            yield from _named(lake, lake.tags(dataset), f"the tag {tag} is of", "datasets", f"{dataset}@{version}")


def _named(lake: Lake, path: str, words: str, kind: str, reference: str) -> Iterator[Finding]:
    """The finding of a name for a version that is not there, or was pruned by hand."""
    for one in _referred(lake, path, words, kind, reference):
        yield replace(one, kind=Kind.DANGLING)


def _referred(lake: Lake, path: str, words: str, kind: str, *references: str) -> Iterator[Finding]:
    """The findings of references to versions that do not exist, and the note on those that were pruned."""
    states = {one: _state(lake, kind, one) for one in sorted(references)}
    gone, pruned = ([one for one, found in states.items() if found is state] for state in (_State.GONE, _State.PRUNED))
    if gone:
        yield Finding(
            Kind.DANGLING, path, f"{words} {', '.join(gone)}, which {'does' if len(gone) == 1 else 'do'} not exist"
        )
    if pruned:
        yield Finding(
            Kind.PRUNED, path, f"{words} {', '.join(pruned)}, which {'was' if len(pruned) == 1 else 'were'} pruned"
        )


def _state(lake: Lake, kind: str, reference: str) -> _State:
    """What is known of a version, `name@version`."""
    if not VERSIONED.fits(reference):
        return _State.GONE
    folder = f"{kind}/{reference.replace('@', '/')}"
    if not lake.exists(f"{folder}/manifest.json"):
        return _State.GONE
    try:
        return _State.PRUNED if is_pruned(lake, folder) else _State.THERE
    except FacemillError:
        return _State.THERE  # its manifest is a finding of its own


def _events(
    lake: Lake, folder: str, read: Callable[[Lake, str], AliasEvent]
) -> Generator[Finding, None, dict[str, str]]:
    """The unreadable events of a folder; returns the version of each name after the others."""
    events = []
    for file in lake.names(folder):
        try:
            events.append(read(lake, f"{folder}/{file}"))
        except FacemillError as error:
            yield Finding(Kind.UNREADABLE, f"{folder}/{file}", str(error))
    return current(events)


def _models(lake: Lake) -> Iterator[Finding]:
    for folder, name, version in _versions(lake, "models"):
        try:
            model = ModelVersion(lake, name, version)
        except FacemillError:
            continue  # a finding of its own
        dataset = model.manifest.get("dataset")
        if dataset is not None and not model.pruned:
            yield from _referred(lake, folder, "it was trained on", "datasets", dataset)


def _evaluations(lake: Lake) -> Iterator[Finding]:
    for name in _names(lake, "evaluations"):
        for version in _names(lake, f"evaluations/{name}"):
            for file in lake.names(lake.evaluations(name, version)):
                if file.endswith(".json"):
                    yield from _evaluation(lake, lake.evaluations(name, version, file.removesuffix(".json")))


def _evaluation(lake: Lake, path: str) -> Iterator[Finding]:
    try:
        facts = Evaluation(lake, path).facts
    except FacemillError as error:
        yield Finding(Kind.UNREADABLE, path, str(error))
        return
    yield from _referred(lake, path, "it is of the model", "models", facts["model"])
    # A test on external photos, such as LFW, has no dataset version.
    if "num_photos" not in facts:
        yield from _referred(lake, path, "it was evaluated on", "datasets", facts["test"])


def _experiments(lake: Lake) -> Iterator[Finding]:
    for file in lake.names("experiments"):
        path = f"experiments/{file}"
        try:
            value = read_experiment(lake, path)
        except FacemillError as error:
            yield Finding(Kind.UNREADABLE, path, str(error))
            continue
        for kind, key in (("models", "model"), ("datasets", "dataset")):
            yield from _referred(lake, path, "it compares", kind, *{cell[key] for cell in value["cells"]})


def _cleaned(lake: Lake) -> Iterator[Finding]:
    for method in _names(lake, "cleaned"):
        for source in _names(lake, f"cleaned/{method}"):
            for folder, name, version in _versions(lake, f"cleaned/{method}/{source}"):
                if name not in _NOT_OF_THE_LAKE:
                    yield from _referred(lake, folder, "its scores are of the model", "models", f"{name}@{version}")


def _datasets(lake: Lake) -> Iterator[Finding]:
    for folder, name, version in _versions(lake, "datasets"):
        try:
            dataset = DatasetVersion(lake, name, version)
        except FacemillError:
            continue  # a finding of its own
        scored_by = (dataset.manifest.get("cleaning") or {}).get("model")
        if scored_by and not dataset.pruned and scored_by.split("@")[0] not in _NOT_OF_THE_LAKE:
            yield from _referred(lake, folder, "its faces were scored by", "models", scored_by)


def _names(lake: Lake, folder: str) -> Iterable[str]:
    return filter(NAME.fits, lake.names(folder))


def _versions(lake: Lake, above: str) -> Iterator[tuple[str, str, str]]:
    """(folder, name, version) of each complete or unfinished version below a folder."""
    for name in _names(lake, above):
        for version in _names(lake, f"{above}/{name}"):
            folder = f"{above}/{name}/{version}"
            if above not in {"models", "datasets"} or lake.exists(f"{folder}/manifest.json"):
                yield folder, name, version
