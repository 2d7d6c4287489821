"""Whether pictures were compared, and a version published, of the inputs that a lake holds now.

Both follow from the tables of the sources, the takedowns and the settings, whose state is kept with the result
(`storage.stamps.cached_results`): verdicts by their path, a version by its id and its funnel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from storage.errors import LakeError, UsageError, changed_meanwhile
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
# What a step raises whose tables are of two states of the lake: rows or shards that are not there, other lengths.
_OF_TWO_STATES = (LakeError, UsageError, LookupError, ValueError)


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
    links = [links_state(lake, source) for source in sources]
    return state_of(links, faces, _scores_state(lake, request), _asked(request))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The state of all that a version is made of.

    Attributes:
        whole: of what is replaced as a whole: lines, plans, takedowns and scores.
        shards: by path, of the tables of images and faces, to which other runs add some.
    """

    whole: list[Any]
    shards: dict[str, str]

    def are_still_there(self, now: _Inputs) -> bool:
        return self.whole == now.whole and self.shards.items() <= now.shards.items()


@contextmanager
def of_one_state(lake: Lake, request: Request) -> Iterator[Callable[[], None]]:
    """Have what a block reads for a version be one state of the lake: it calls what is given once it has read that.

    The block is in one of `Lake.listing_once`, so that it reads no shard that is added meanwhile.

    Raises:
        ChangedMeanwhile: by what is given, another run has replaced or removed something that a version is made of.
            Errors of the block that may come from that are replaced.
    """
    before = _inputs(lake, request)

    def check() -> None:
        # Another object for the lake has its listings of now.
        if not before.are_still_there(_inputs(Lake(lake.url), request)):
            raise changed_meanwhile(f"{lake.url}: lines or faces of {request.source}")

    try:
        yield check
    except _OF_TWO_STATES:
        check()
        raise


def _inputs(lake: Lake, request: Request) -> _Inputs:
    methods, sources = methods_read(request.method), sources_of(request.source)
    links = {one: links_state(lake, one) for one in sources}
    whole = [(lines, plan, takedowns) for lines, plan, _, takedowns in links.values()]
    tables = {lake.images(one): images for one, (_, _, images, _) in links.items()}
    faces = [lake.faces(method, one) for one in sources for method in methods]
    tables |= {folder: table_states(lake, folder) for folder in faces}
    shards = {f"{folder}/{stem}": state for folder, found in tables.items() for stem, state in found.items()}
    return _Inputs([whole, _scores_state(lake, request)], shards)


def _scores_state(lake: Lake, request: Request) -> dict[str, str]:
    if not request.cleaning:
        return {}
    return lake.states(lake.cleaned(request.method, request.source, *request.cleaning.model.split("@")))


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
    """The state of the lines of a source, of its plan, of its images and of its takedowns."""
    plan = file_state(lake, lake.plan(source))
    images = table_states(lake, lake.images(source))
    return lake.states(lake.links(source, "").rstrip("/")), plan, images, takedown_state(lake, source)
