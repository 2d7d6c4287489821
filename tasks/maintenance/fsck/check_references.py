"""Check references to versions: aliases, tags, models, evaluations, experiments and label noise scores.

Each of these is valid by itself, so no other check detects a version that was removed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from storage.alias_events import AliasEvent, current
from storage.aliases import read_event
from storage.datasets import DatasetVersion
from storage.errors import FacemillError
from storage.evaluations import Evaluation
from storage.experiments import read_experiment
from storage.lake import Lake
from storage.models import ModelVersion, has_model
from storage.names import NAME, VERSIONED
from storage.tags import read_tag_event
from tasks.maintenance.fsck.findings import Finding, Kind

# Embedders that are not model versions: histograms fitted to a dataset, and weights from outside the lake.
_OTHER_JUDGES = frozenset({"histograms", "facenet"})


def check_lineage(lake: Lake) -> list[Finding]:
    """Every dangling reference in the lake, and every unreadable file of references."""
    return [
        finding
        for check in (_aliases, _tags, _models, _evaluations, _experiments, _cleaned, _datasets)
        for finding in check(lake)
    ]


def _aliases(lake: Lake) -> Iterator[Finding]:
    for model in _names(lake, "models"):
        borne = yield from _events(lake, lake.aliases(model), read_event)
        for alias, version in borne.items():
            if not has_model(lake, model, version):
                yield Finding(
                    Kind.DANGLING, lake.aliases(model), f"the {alias} is {model}@{version}, which does not exist"
                )


def _tags(lake: Lake) -> Iterator[Finding]:
    for dataset in _names(lake, "datasets"):
        borne = yield from _events(lake, lake.tags(dataset), read_tag_event)
        for tag, version in borne.items():
            if not has_dataset(lake, f"{dataset}@{version}"):
                words = f"the tag {tag} stands for {dataset}@{version}, which does not exist"
                yield Finding(Kind.DANGLING, lake.tags(dataset), words)


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
        if dataset is not None and not has_dataset(lake, dataset):
            yield Finding(Kind.DANGLING, folder, f"it was trained on {dataset}, which does not exist")


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
    if not has_model(lake, *facts["model"].split("@")):
        yield Finding(Kind.DANGLING, path, f"its model {facts['model']} does not exist")
    # A test on external photos, such as LFW, has no dataset version.
    if "num_photos" not in facts and not has_dataset(lake, facts["test"]):
        yield Finding(Kind.DANGLING, path, f"it was evaluated on {facts['test']}, which does not exist")


def _experiments(lake: Lake) -> Iterator[Finding]:
    for file in lake.names("experiments"):
        path = f"experiments/{file}"
        try:
            value = read_experiment(lake, path)
        except FacemillError as error:
            yield Finding(Kind.UNREADABLE, path, str(error))
            continue
        models = {cell["model"] for cell in value["cells"]}
        datasets = {cell["dataset"] for cell in value["cells"]}
        gone = [one for one in sorted(models) if not has_model(lake, *one.split("@"))]
        gone += [one for one in sorted(datasets) if not has_dataset(lake, one)]
        if gone:
            yield Finding(Kind.DANGLING, path, f"it compares {', '.join(gone)}, which do not exist")


def _cleaned(lake: Lake) -> Iterator[Finding]:
    for method in _names(lake, "cleaned"):
        for source in _names(lake, f"cleaned/{method}"):
            for folder, name, version in _versions(lake, f"cleaned/{method}/{source}"):
                if name not in _OTHER_JUDGES and not has_model(lake, name, version):
                    yield Finding(Kind.DANGLING, folder, f"its model {name}@{version} does not exist")


def _datasets(lake: Lake) -> Iterator[Finding]:
    for folder, name, version in _versions(lake, "datasets"):
        try:
            cleaning = DatasetVersion(lake, name, version).manifest.get("cleaning")
        except FacemillError:
            continue  # a finding of its own
        if cleaning and not _is_judge(lake, cleaning["model"]):
            yield Finding(Kind.DANGLING, folder, f"its faces were scored by {cleaning['model']}, which does not exist")


def _is_judge(lake: Lake, model: str) -> bool:
    name, version = model.split("@")
    return name in _OTHER_JUDGES or has_model(lake, name, version)


def has_dataset(lake: Lake, reference: str) -> bool:
    """Whether a dataset version, `name@version`, is complete."""
    return VERSIONED.fits(reference) and lake.exists(f"{lake.dataset(*reference.split('@'))}/manifest.json")


def _names(lake: Lake, folder: str) -> Iterable[str]:
    return filter(NAME.fits, lake.names(folder))


def _versions(lake: Lake, above: str) -> Iterator[tuple[str, str, str]]:
    """(folder, name, version) of each complete or unfinished version below a folder."""
    for name in _names(lake, above):
        for version in _names(lake, f"{above}/{name}"):
            folder = f"{above}/{name}/{version}"
            if above not in {"models", "datasets"} or lake.exists(f"{folder}/manifest.json"):
                yield folder, name, version
