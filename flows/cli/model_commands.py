"""`facemill models ...`: the model versions of a lake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.options import (
    AllOption,
    DeviceChoice,
    DeviceOption,
    JsonOption,
    LakeOption,
    bar,
    existing_lake,
    follow,
    print_result,
    reporting,
)
from flows.cli.terminal import add_row, cell, new_table, say, say_facts
from flows.cli.version_lists import model_facts, model_lines
from flows.configuration.settings import user_name
from flows.reports.metric_text import POINT_COLUMNS, comparison_words, evaluation_notes, figure_rows, point_rows
from model.devices.cuda import uses_cuda
from model.verification.claims import remarks
from storage.errors import UsageError
from storage.versions.aliases import Alias, alias_history, roll_back
from storage.versions.datasets import open_dataset
from storage.versions.models import find_model, open_model

VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]", help="Model version, or NAME@champion, NAME@candidate. Default version: the newest."
    ),
]
WhyOption = Annotated[str, typer.Option("--why", metavar="WORDS", help="Reason, recorded in the alias history.")]
TestOption = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="NAME[@VERSION]", help="Dataset whose test split to evaluate on. Default: the model's own."
    ),
]


@reporting
def models_list(lake: LakeOption, every: AllOption = False, as_json: JsonOption = False) -> None:
    """List model versions, oldest first, with their aliases."""
    from flows.runs.version_status import models_status  # noqa: PLC0415

    result = models_status(existing_lake(lake), pruned=every)
    print_result(result, as_json, show_models)
    follow("models list", result, lake, as_json=as_json)


@reporting
def models_show(
    version: VersionArgument,
    lake: LakeOption,
    as_json: JsonOption = False,
) -> None:
    """Show metrics, lineage and aliases of a version."""
    from flows.runs.version_status import folder_of, num_bytes  # noqa: PLC0415

    found = find_model(existing_lake(lake), version)
    kept = {} if found.pruned else {name: found.read_json(f"{name}.json") for name in ("metrics", "lineage", "config")}
    facts = {
        "model": str(found),
        "folder": folder_of(found),
        "bytes": num_bytes(found),
        "manifest": found.manifest,
        **kept,
        "aliases": [asdict(event) for event in alias_history(found.lake, found.name) if event.version == found.version],
    }
    print_result(facts, as_json, show_model)
    if not found.pruned:
        follow("models show", facts, lake, as_json=as_json)


@reporting
def models_evaluate(
    version: VersionArgument,
    lake: LakeOption,
    dataset: TestOption = None,
    lfw: Annotated[
        Path | None,
        typer.Option(
            "--lfw",
            metavar="DIR",
            help="Evaluate on LFW View 2: pairs.txt, with photos in images/, lfw/ or the folder itself.",
        ),
    ] = None,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model version. Uses the test split of a dataset version, or LFW. Reuses stored evaluations."""
    if dataset is not None and lfw is not None:
        raise UsageError("--dataset and --lfw exclude each other")
    store = existing_lake(lake)
    model = open_model(store, version)
    test = open_dataset(store, dataset or model.dataset) if lfw is None else None
    uses_cuda(device.value)
    from flows.evaluate import evaluate_on_lfw, read_pairs  # noqa: PLC0415
    from model.compare.evaluation_store import evaluate_version  # noqa: PLC0415

    if test is not None:
        found = evaluate_version(model, test, device=device.value)
    elif lfw is not None:
        pairs = read_pairs(lfw)
        with bar("align", len(pairs.photos)) as reach:
            found = evaluate_on_lfw(model, lfw, pairs, device=device.value, on_progress=reach)
    print_result(found.facts, as_json, show_evaluation)
    follow("models evaluate", found.facts, lake, as_json=as_json)


@reporting
def models_report(
    version: VersionArgument,
    lake: LakeOption,
    dataset: TestOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Write an HTML report on a version. Shows metrics, ROC, calibration, hardest pairs, training and lineage."""
    store = existing_lake(lake)
    model = open_model(store, version)
    test = open_dataset(store, dataset or model.dataset)
    uses_cuda(device.value)
    from flows.reports.model_report import write_model_report  # noqa: PLC0415

    path = write_model_report(model, test, device=device.value)
    result = {"model": str(model), "report": str(path)}
    print_result(result, as_json, show_report)
    follow("models report", result, lake, as_json=as_json)


@reporting
def models_diff(
    first: VersionArgument,
    second: VersionArgument,
    lake: LakeOption,
    dataset: TestOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions. Shows settings and inputs that differ, and paired metrics on the same test people."""
    store = existing_lake(lake)
    models = open_model(store, first), open_model(store, second)
    test = open_dataset(store, dataset or models[1].dataset)
    uses_cuda(device.value)
    from model.compare.comparison import compare_versions, differences  # noqa: PLC0415

    found = compare_versions(*models, test, device=device.value)
    result = {
        **found.to_json(),
        "made_of": differences(*models),
        "figures": [found.first.facts, found.second.facts],
    }
    print_result(result, as_json, show_difference)
    follow("models diff", result, lake, as_json=as_json)


@reporting
def models_promote(
    version: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="Model version. Default version: the candidate.")
    ],
    lake: LakeOption,
    dataset: TestOption = None,
    why: WhyOption = "",
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the comparison fails; this is recorded.")
    ] = False,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion. Its AUC on the same test pairs must be significantly above the champion's."""
    challenger = open_model(existing_lake(lake), version if "@" in version else f"{version}@{Alias.CANDIDATE}")
    if dataset is not None:
        open_dataset(challenger.lake, dataset)
    uses_cuda(device.value)
    from model.compare.promotion import promote  # noqa: PLC0415

    event = promote(challenger, dataset=dataset, device=device.value, by=user_name(), why=why, force=force)
    result = {"model": challenger.name, **asdict(event)}
    print_result(result, as_json, show_alias)
    follow("models promote", result, lake, as_json=as_json)


@reporting
def models_rollback(
    model: Annotated[str, typer.Argument(metavar="NAME")],
    lake: LakeOption,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Restore the previous champion."""
    event = roll_back(existing_lake(lake), model, user_name(), why)
    result = {"model": model, **asdict(event)}
    print_result(result, as_json, show_alias)
    follow("models rollback", result, lake, as_json=as_json)


def show_models(console: Console, result: list[dict[str, Any]]) -> None:
    """Print model versions with what tells them apart."""
    for line in model_lines(result, console.width):
        say(console, line)
    if not result:
        say(console, "no model version yet")


def show_model(console: Console, result: dict[str, Any]) -> None:
    """Print everything about one model version; of a pruned one, what its manifest says."""
    if result["manifest"].get("pruned"):
        say_facts(console, {"model": [result["model"]], **model_facts(result)})
        return
    untrained, trained = (result["metrics"][state] for state in ("untrained", "trained"))
    before = {figure: value for figure, value, _ in figure_rows(untrained)}
    rows = [(figure, before.get(figure, ""), value, interval) for figure, value, interval in figure_rows(trained)]
    console.print(_table(result["model"], ("metric", "untrained", "trained", "95% interval"), rows))
    for note in remarks(trained, untrained):
        say(console, note)
    for event in result["aliases"]:
        forced = ", forced" if event["forced"] else ""
        text = f"{event['at']} {event['alias']} by {event['action']}{forced}: {event['by']} {event['why']}"
        say(console, text)
    say_facts(console, model_facts(result))


def show_evaluation(console: Console, result: dict[str, Any]) -> None:
    """Print the metrics of a model version on a test."""
    title = f"{result['model']} on {result['test']}"
    console.print(_table(title, ("metric", "value", "95% interval"), figure_rows(result)))
    if points := point_rows(result):
        console.print(_table("thresholds tried", POINT_COLUMNS, points))
    kinds = f"{result['num_genuine']:,} genuine and {result['num_impostor']:,} impostor pairs"
    say(console, f"{kinds} of {result['num_identities']:,} people")
    for line in evaluation_notes(result):
        say(console, line)


def show_report(console: Console, result: dict[str, Any]) -> None:
    """Print the path of the report."""
    say(console, f"[bold]report[/]   {result['report']}")


def show_difference(console: Console, result: dict[str, Any]) -> None:
    """Print the differences between two versions."""
    for field, (one, other) in result["made_of"].items():
        say(console, f"{field}: {one} -> {other}")
    first, second = ({figure: value for figure, value, _ in figure_rows(one)} for one in result["figures"])
    rows = [(figure, value, second.get(figure, "")) for figure, value in first.items()]
    console.print(_table(f"on {result['test']}", ("metric", result["first"], result["second"]), rows))
    say(console, comparison_words(result))


def show_alias(console: Console, result: dict[str, Any]) -> None:
    """Print which version an alias points to now, and the comparison that decided it."""
    over = f", previously {result['model']}@{result['over']}" if result["over"] else ", the first"
    forced = " (forced)" if result["forced"] else ""
    say(console, f"{result['model']}@{result['version']} is now {result['alias']}{forced}{over}")
    if result["figures"]:
        say(console, comparison_words(result["figures"]))


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table with a text column first and number columns after it."""
    table = new_table(title)
    for place, column in enumerate(columns):
        table.add_column(cell(column), justify="right" if place else "left", overflow="fold")
    for row in rows:
        add_row(table, *row)
    return table
