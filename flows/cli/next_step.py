"""The next step after each command: the folder of the result, the page to look at, the command that follows.

Everything here is computed from the result of the command, as `--json` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from posixpath import normpath
from shlex import quote
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One line: `folder`, `page` or `next`, and the path or the command."""

    head: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """The lake of a command, and how further commands name it.

    Attributes:
        lake: its folder or URL.
        is_default: whether a command without --lake uses it.
        source: the source to name in further commands; None if the lake has only one.
    """

    lake: str = "lake"
    is_default: bool = True
    source: str | None = None

    def path(self, *parts: str) -> str:
        """A path in the lake."""
        return "/".join([self.lake.rstrip("/") if "://" in self.lake else normpath(self.lake), *parts])

    def command(self, words: str, *, of_source: bool = False) -> str:
        """A command on this lake.

        Args:
            of_source: it takes --source.
        """
        source = f" --source {quote(self.source)}" if of_source and self.source else ""
        return f"facemill {words}{source}" + ("" if self.is_default else f" --lake {quote(self.lake)}")


Steps = list[Step]


def next_steps(command: str, result: Any, place: Place) -> Steps:
    """What follows a command, at most one line of each kind, but one for each page.

    Args:
        command: as it is typed, `datasets list`.
        result: as the command prints it with --json.
    """
    return FOLLOWS[command](result, place)


def _next(words: str) -> Steps:
    return [Step("next", words)]


def _folder(*parts: str, place: Place) -> Step:
    return Step("folder", place.path(*parts))


def _version(one: dict[str, Any], kind: str) -> str:
    return f"{one[kind]}@{one['version']}"


def _pages(kind: str, version: str, place: Place, report: str | None = None) -> Steps:
    """The folder of a dataset or model version, and the page on it or the command that writes that."""
    name, _, number = version.partition("@")
    words = "report" if kind == "datasets" else "models report"
    return [_folder(kind, name, number, place=place), Step("page", report or place.command(f"{words} {version}"))]


def _after_pipeline(result: dict[str, Any], place: Place) -> Steps:
    cleaned, trained, scored = result.get("publish_cleaned"), result.get("train") or {}, result.get("clean") or []
    if not result.get("publish"):
        return _next(place.command("status"))
    last = {one["dataset"]: one for one in [*result["publish"], *(cleaned or [])]}[result["publish"][-1]["dataset"]]
    version = _version(last, "dataset")
    if cleaned:
        newest = {**trained, **result.get("train_cleaned", {})}
        words = f"models report {_version(newest, 'model')}"
    elif any(one["doubtful"] for one in scored):
        words = _publish_cleaned(scored, last["dataset"].rpartition("-")[0])
    elif scored:
        words = f"models report {_version(trained, 'model')}"
    elif "model" in trained:
        words = f"clean --model {_version(trained, 'model') if 'version' in trained else trained['model']}"
    else:
        words = "" if "left_out" in trained or trained.get("cleans") else f"clean --fit-on {version}"
    follows = _next(place.command(words, of_source=not words.startswith("models"))) if words else []
    return _pages("datasets", version, place, last.get("report")) + follows


def _publish_cleaned(scored: list[dict[str, Any]], dataset: str) -> str:
    """The command that publishes without the faces that a model doubts.

    Args:
        scored: the result of `clean`, for each method.
        dataset: datasets are named `<dataset>-<method>`.
    """
    named = "" if dataset == "faces" else f" --dataset {quote(dataset)}"
    method = f" --method {scored[0]['method']}" if len(scored) == 1 else ""
    return f"publish --cleaned-by {scored[0]['model']}{named}{method}"


def _after_ingest(result: dict[str, Any], place: Place) -> Steps:
    counts = list(result["sources"].values()) if "sources" in result else [result]
    if any(one["asked"] for one in counts) and not any(one["accepted"] for one in counts):
        return _next(place.command("status --hosts"))
    return _next(place.command("crop", of_source=True))


def _after_crop(result: dict[str, Any], place: Place) -> Steps:
    return _next(place.command("publish", of_source=True))


def _after_clean(result: list[dict[str, Any]], place: Place) -> Steps:
    found = [one for one in result if one["wrong_person"] or one["same_person"]]
    pages = [Step("page", one["report"]) for one in result if "report" in one]
    if not found:
        return pages + _next(place.command("status"))
    return pages + _next(place.command(_publish_cleaned(result, "faces"), of_source=True))


def _after_publish(result: list[dict[str, Any]], place: Place) -> Steps:
    if not result:
        return _next(place.command("status"))
    version = _version(result[-1], "dataset")
    pages = _pages("datasets", version, place, result[-1].get("report"))
    return pages + _next(place.command(f"train --dataset {version}"))


def _after_train(result: dict[str, Any], place: Place) -> Steps:
    if "version" not in result:
        return _next(place.command("models list"))
    version = _version(result, "model")
    pages = _pages("models", version, place, result.get("report"))
    return pages + _next(place.command(f"clean --model {version}", of_source=True))


def _after_links(result: dict[str, Any], place: Place) -> Steps:
    words = f"ingest --source {quote(result['source'])} --links {quote(result['links'])}"
    return _next(place.command(words + (f" --recipe {quote(result['recipe'])}" if result["recipe"] else "")))


def _after_status(result: dict[str, Any], place: Place) -> Steps:
    if due := [name for name, one in result["sources"].items() if one["due"]]:
        named = replace(place, source=due[0] if len(result["sources"]) > 1 else None)
        return _next(named.command("retry", of_source=True))
    if result["datasets"]:
        newest = max(result["datasets"], key=lambda one: one["published_at"])
        return [Step("page", place.command(f"report {_version(newest, 'dataset')}"))]
    return _next(place.command("pipeline", of_source=True))


def _after_serve(result: dict[str, Any], place: Place) -> Steps:
    """The page that starts a run, and the first scheduled run of each deployment."""
    runs = ", ".join(f"{name} {when}" for name, when in result["scheduled"].items())
    return [Step("now", f"{result['page']} starts a run"), *([Step("next", runs)] if runs else [])]


def _after_lists(kind: str) -> Callable[[list[dict[str, Any]], Place], Steps]:
    def steps(result: list[dict[str, Any]], place: Place) -> Steps:
        if not result:
            return _next(place.command("pipeline" if kind == "datasets" else "train"))
        newest = _version(result[-1], kind.removesuffix("s"))
        return _next(place.command(f"{kind} show {newest}"))

    return steps


def _after_show(kind: str) -> Callable[[dict[str, Any], Place], Steps]:
    """The page; the folder is in the output itself."""

    def steps(result: dict[str, Any], place: Place) -> Steps:
        return _pages(kind, result[kind.removesuffix("s")], place)[1:]

    return steps


def _model_page(result: dict[str, Any], place: Place) -> Steps:
    return _pages("models", result["model"], place)[1:]


def _after_promotion(result: dict[str, Any], place: Place) -> Steps:
    return _pages("models", _version(result, "model"), place)[1:]


def _after_embed(result: dict[str, Any], place: Place) -> Steps:
    photos = [quote(one["photo"]) for one in result["photos"] if one["reason"] is None]
    return _next(place.command(f"compare {photos[0]} {photos[1]}")) if len(photos) > 1 else []


def _constant(words: str) -> Callable[[Any, Place], Steps]:
    return lambda result, place: _next(place.command(words))


def _after_synthetic_make(result: dict[str, Any], place: Place) -> Steps:
    return _next(f"facemill synthetic serve {quote(result['folder'])}")


def _after_synthetic_serve(result: dict[str, Any], place: Place) -> Steps:
    links = quote(f"{result['folder']}/links")
    return _next(f"facemill pipeline --source vggface1 --links {links} --connect-to 127.0.0.1:{result['port']}")


# By command. A command of `ENDS` needs no further line.
FOLLOWS: dict[str, Callable[[Any, Place], Steps]] = {
    "pipeline": _after_pipeline,
    "links": _after_links,
    "ingest": _after_ingest,
    "retry": _after_ingest,
    "crop": _after_crop,
    "clean": _after_clean,
    "publish": _after_publish,
    "train": _after_train,
    "experiment": _constant("models list"),
    "embed": _after_embed,
    "compare": _model_page,
    "status": _after_status,
    "serve": _after_serve,
    "diff": lambda result, place: [Step("page", place.command(f"report {result['after']}"))],
    "report": lambda result, place: _next(place.command(f"train --dataset {result['dataset']}")),
    "prune": lambda result, place: [] if result["pruned"] is None else _next(place.command("status --disk")),
    "datasets tag": lambda result, place: _pages("datasets", _version(result, "dataset"), place)[1:],
    "datasets untag": _constant("datasets list"),
    "datasets list": _after_lists("datasets"),
    "datasets show": _after_show("datasets"),
    "models list": _after_lists("models"),
    "models show": _after_show("models"),
    "models evaluate": _model_page,
    "models report": lambda result, place: _next(place.command(f"models promote {result['model']}")),
    "models diff": lambda result, place: [Step("page", place.command(f"models report {result['second']}"))],
    "models promote": _after_promotion,
    "models rollback": _after_promotion,
    "synthetic make": _after_synthetic_make,
    "synthetic serve": _after_synthetic_serve,
}
# Commands whose own output says what follows, or which nothing follows.
ENDS = {
    "settings": "every line can be set",
    "doctor": "each check that does not pass says what to do",
    "compact": "makes reading faster, and asks for nothing",
    "check": "names the repair, the retry, or neither",
    "forget": "names the purge",
    "export": "names the folder",
    "work": "runs until it is stopped",
}


def lines(steps: Iterable[Step]) -> list[str]:
    """The steps as lines of the terminal."""
    return [f"[bold]{step.head}[/]{' ' * (9 - len(step.head))}{step.text}" for step in steps]
