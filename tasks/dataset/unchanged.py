"""Whether pictures were compared, and a version published, of the inputs that a lake holds now.

Both follow from the tables of the sources, the takedowns and the settings, whose state is kept with the result
(`storage.stamps.cached_results`): verdicts by their path, a version by its id and its funnel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from storage.files.lake import Lake
from storage.stamps.cached_results import file_state, read_cached, state_of, table_states, write_cached
from storage.tables.parquet import stamp
from storage.text.json_shapes import Shape
from storage.text.names import NAME
from storage.text.source_names import sources_of
from storage.versions.datasets import FUNNEL, DatasetVersion, has_dataset, versions
from storage.versions.takedowns import takedown_state
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.funnel import Funnel
from tasks.dataset.people import PeopleRules
from tasks.dataset.publish_request import Request, chosen_settings
from tasks.faces.methods import AGREE

_COMPARED: Shape = {"verdicts": NAME}
_PUBLISHED: Shape = {"version": NAME, "funnel": FUNNEL, "funnels": {"*": FUNNEL}}


def comparison_state(lake: Lake, source: str, rules: DedupeRules, people: PeopleRules) -> str:
    """The state of the inputs of the comparison of pictures."""
    return state_of([links_state(lake, one) for one in sources_of(source)], asdict(rules), asdict(people))


def compared(lake: Lake, source: str, state: str) -> str | None:
    """The stamp of the verdicts on inputs of this state, if they are there."""
    known = read_cached(lake, f"compare/{source}", state, _COMPARED)
    return known["verdicts"] if known and lake.exists(lake.unique(source, known["verdicts"])) else None


def keep_compared(lake: Lake, source: str, state: str, verdicts: str) -> None:
    """Keep the stamp of the verdicts on inputs of this state."""
    write_cached(lake, f"compare/{source}", state, {"verdicts": verdicts})


def request_state(lake: Lake, request: Request) -> str:
    """The state of the inputs of a version. The detections are none: faces are made from them."""
    methods, sources = methods_read(request.method), sources_of(request.source)
    faces = [table_states(lake, lake.faces(method, source)) for source in sources for method in methods]
    scores = {}
    if request.cleaning:
        scores = lake.states(lake.cleaned(request.method, request.source, *request.cleaning.model.split("@")))
    return state_of([links_state(lake, source) for source in sources], faces, scores, _asked(request))


def published_before(
    lake: Lake, request: Request, state: str
) -> tuple[DatasetVersion, Funnel, dict[str, Funnel]] | None:
    """The version that a request makes of inputs of this state, and its funnels.

    Returns:
        None if that is not known, the version is no longer there, or a newer one has the same settings.
    """
    known = read_cached(lake, _name(request), state, _PUBLISHED)
    if known is None or not has_dataset(lake, request.name, known["version"]):
        return None
    version = DatasetVersion(lake, request.name, known["version"])
    settings = chosen_settings(version.manifest)
    same = [one for one in versions(lake, request.name) if chosen_settings(one.manifest) == settings]
    if same[-1].version != version.version:
        return None
    funnels = {name: Funnel.from_json(one) for name, one in known["funnels"].items()}
    return version, Funnel.from_json(known["funnel"]), funnels


def keep_published(
    lake: Lake, request: Request, state: str, version: str, funnel: Funnel, funnels: dict[str, Funnel]
) -> None:
    """Keep the version that a request makes of inputs of this state."""
    by_source = {name: one.to_json() for name, one in funnels.items()}
    result = {"version": version, "funnel": funnel.to_json(), "funnels": by_source}
    write_cached(lake, _name(request), state, result)


def _name(request: Request) -> str:
    return f"publish/{request.name}-{stamp(_asked(request))}"


def _asked(request: Request) -> dict[str, Any]:
    """The settings of a request without those that its faces were made with, which follow from the faces."""
    return {name: one for name, one in request.settings().items() if name != "made_with"}


def methods_read(method: str) -> Sequence[str]:
    """The methods whose faces those of a method are."""
    return ["bbox", "mtcnn"] if method == AGREE else [method]


def links_state(lake: Lake, source: str) -> Sequence[Any]:
    """The state of the lines of a source, of its plan and of its images."""
    plan = file_state(lake, lake.plan(source))
    images = table_states(lake, lake.images(source))
    return lake.states(lake.links(source, "").rstrip("/")), plan, images, takedown_state(lake, source)
