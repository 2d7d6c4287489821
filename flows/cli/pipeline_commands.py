"""`facemill pipeline`, and one command per stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from uvloop import run

from flows.cli.dataset_commands import by_source_table, funnel_table
from flows.cli.options import (
    DatasetOption,
    DeviceChoice,
    DeviceOption,
    LakeOption,
    MarginOption,
    MinChangeOption,
    MinFaceOption,
    OutputOptions,
    PresetChoice,
    PresetOption,
    RequestOptions,
    RunOptions,
    RunsOption,
    SelectionOptions,
    SetOption,
    SourceOptions,
    SourcesOptions,
    StepsOption,
    check_usage,
    reporting,
    split_words,
)
from flows.cli.startup import judge_retry, judge_start
from flows.cli.terminal import say
from flows.embedder_choice import choose_embedder
from flows.selection import Selection
from flows.setting_groups import read_settings
from flows.settings import load_settings
from model.cuda import uses_cuda
from storage.datasets import open_dataset
from storage.paths import checked_name
from tasks.dataset.exclude import read_names
from tasks.faces.method_choice import datasets_of, methods_of
from tasks.faces.methods import METHOD_CHOICES
from tasks.label_noise.score_table import judge_named
from tasks.links.sources import sources_named
from tasks.web.web_archive import checked_template


def _method(text: str) -> str:
    if text not in METHOD_CHOICES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(METHOD_CHOICES)}")
    return text


MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="|".join(METHOD_CHOICES),
        parser=_method,
        help="Crop by the listed box, or by a detector's face; both: one dataset each for bbox and mtcnn; agree: "
        "one dataset of the faces where these two agree.",
    ),
]


@reporting
def pipeline(
    *,
    asked: RunOptions,
    method: MethodOption = "both",
    dataset: DatasetOption = "faces",
    min_face: MinFaceOption = 100,
    margin: MarginOption = 1.0,
    steps: StepsOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    runs: RunsOption = 1,
    min_change: MinChangeOption = 0.0,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Run all stages: fetch, crop, publish, train. Work that is already done is skipped."""
    store, selection = asked.select()
    settings = read_settings(values, "pipeline")
    checked_name(f"{dataset}-{method}")
    uses_cuda(device.value)
    for one in selection.sources:
        alone = replace(selection, source=one)
        judge_start(store, alone, settings, as_typed=asked.identities, yes=asked.yes, trains=True)
    output.set_up()
    from flows.pipeline import pipeline as flow  # noqa: PLC0415
    from flows.telemetry.stage_summaries import watching  # noqa: PLC0415

    done: dict[str, Any] = {}

    def ended(stage: str, result: Any) -> None:
        done[stage] = result
        if not output.as_json:
            show_stage(Console(), stage, result)

    try:
        with watching(ended):
            run(
                flow(
                    asked.lake,
                    **asdict(selection),
                    method=method,
                    dataset=dataset,
                    min_face=min_face,
                    margin=margin,
                    steps=steps,
                    device=device.value,
                    runs=runs,
                    min_change=min_change,
                    settings=settings,
                )
            )
    finally:
        if output.as_json and done:
            output.print(done, lambda console, result: None)


@reporting
def ingest(*, asked: SelectionOptions, values: SetOption = None, output: OutputOptions) -> None:
    """Read the link files and fetch new pictures. Links that were requested before are skipped; see `retry`."""
    store, selection = asked.select()
    settings = read_settings(values, "ingest")
    judge_start(store, selection, settings, as_typed=asked.identities, yes=asked.yes, trains=False)
    output.set_up()
    from flows.ingest import ingest as flow  # noqa: PLC0415

    output.print(run(flow(asked.lake, **asdict(selection), settings=settings)), show_ingested)


@reporting
def retry(
    *,
    asked: RequestOptions,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="WORD,...", help="Only links that failed for these reasons. Repeatable."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME,...", help="Only links on these hosts. Repeatable."),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Also links whose retry time has not come yet.")] = False,
    also_final: Annotated[
        bool, typer.Option("--also-final", help="Also final failures, such as links rejected by older rules.")
    ] = False,
    archive_fallback: Annotated[
        bool,
        typer.Option(
            "--archive-fallback", help="Fetch links that are gone from the web archive at FACEMILL_ARCHIVE_URL."
        ),
    ] = False,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Fetch the failed links that are due for retry. Prints their number first."""
    store, source = asked.open()
    settings = read_settings(values, "retry")
    if archive_fallback:
        checked_template(load_settings().archive_url)
    output.set_up()
    from flows.status import due_for, retry_choice  # noqa: PLC0415

    reasons, hosts = split_words(reason), split_words(host)
    choice = retry_choice(reasons, hosts, now=now, also_final=also_final, archive=archive_fallback)
    pending, due = due_for(store, source, choice)
    judge_retry(store, Selection(source, asked.links, connect_to=asked.connect_to), pending, yes=asked.yes)
    typer.echo(_forecast(due, is_archive=archive_fallback), err=True)
    from flows.retry import retry as flow  # noqa: PLC0415

    result = run(
        flow(
            asked.lake,
            source=source,
            links=asked.links,
            connect_to=asked.connect_to,
            reasons=reasons,
            hosts=hosts,
            now=now,
            archive_fallback=archive_fallback,
            also_final=also_final,
            settings=settings,
        )
    )
    output.print(result, show_retried)


@reporting
def crop(
    *,
    asked: SourceOptions,
    method: MethodOption = "both",
    check_boxes: Annotated[
        bool, typer.Option(help="Correct listed boxes that match the fetched picture only after rescaling or rotation.")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report", help="Write an HTML report that compares the crop methods, with contact sheets.")
    ] = False,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Detect and crop faces in the accepted pictures."""
    store, source = asked.open()
    settings = read_settings(values, "crop")
    for one in sources_named(source, store):
        methods_of(method, one)
    output.set_up()
    from flows.crop import crop as flow  # noqa: PLC0415

    result = flow(asked.lake, source=source, method=method, check_boxes=check_boxes, report=report, settings=settings)
    output.print(result, show_cropped)


@reporting
def publish(
    *,
    asked: SourcesOptions,
    dataset: DatasetOption = "faces",
    method: MethodOption = "both",
    min_face: MinFaceOption = 100,
    check_boxes: Annotated[bool, typer.Option(help="Check listed boxes against the detected faces.")] = True,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude", metavar="FILE", help="File of names to leave out, one per line."),
    ] = None,
    cleaned_by: Annotated[
        str | None,
        typer.Option(
            "--cleaned-by",
            metavar="MODEL",
            help="Model used by `facemill clean`; drops the faces it marked as mislabelled.",
        ),
    ] = None,
    wrong_person_score: Annotated[
        float | None,
        typer.Option(
            "--wrong-person-score",
            min=0,
            max=1,
            help="Drop faces from this probability of being mislabelled. "
            "Default: the threshold expected to lose 2% of correct faces.",
        ),
    ] = None,
    only_as_listed: Annotated[
        bool, typer.Option("--only-as-listed", help="Only pictures that have the digest their list gives.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="COLUMN,...",
            help="Columns of the list to carry along in the index; the recipe's `keep` names them. Repeatable.",
        ),
    ] = None,
    min_change: MinChangeOption = 0.0,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Publish one immutable dataset version per crop method."""
    asked.check()
    settings = read_settings(values, "publish")
    if exclude is not None:
        read_names(exclude)
    checked_name(f"{dataset}-{method}")
    store, source = asked.open()
    if cleaned_by is not None:
        for one in datasets_of(method, *sources_named(source, store)):
            judge_named(store, source, one, cleaned_by)
    output.set_up()
    from flows.publish import publish as flow  # noqa: PLC0415

    result = flow(
        asked.lake,
        source=source,
        dataset=dataset,
        method=method,
        min_face=min_face,
        check_boxes=check_boxes,
        exclude=exclude,
        cleaned_by=cleaned_by,
        wrong_person_score=wrong_person_score,
        only_as_listed=only_as_listed,
        keep=split_words(keep),
        min_change=min_change,
        settings=settings,
    )
    output.print(result, show_published)


@reporting
def clean(
    *,
    asked: SourcesOptions,
    method: MethodOption = "both",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME[@VERSION]", help="Model version used to score faces.")
    ] = None,
    fit_on: Annotated[
        str | None,
        typer.Option(
            "--fit-on",
            metavar="NAME[@VERSION]",
            help="Use histogram features fitted to this dataset instead of a model.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="Use facenet-pytorch's InceptionResnetV1 with these weights instead."
        ),
    ] = None,
    device: DeviceOption = DeviceChoice.AUTO,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Find mislabelled faces and people with two names. Scores every face by its probability of being mislabelled."""
    store, source = asked.open()
    settings = read_settings(values, "clean")
    choose_embedder(store, model, fit_on, weights)
    uses_cuda(device.value)
    output.set_up()
    from flows.clean import clean as flow  # noqa: PLC0415

    result = flow(
        asked.lake,
        source=source,
        method=method,
        model=model,
        fit_on=fit_on,
        weights=str(weights) if weights else None,
        device=device.value,
        settings=settings,
    )
    output.print(result, show_cleaned)


@reporting
def train(
    *,
    lake: LakeOption,
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME[@VERSION]", help="Dataset version to train on.")
    ] = "faces-mtcnn",
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the model.")] = "embedder",
    margin: MarginOption = 1.0,
    preset: PresetOption = PresetChoice.AUTO,
    steps: StepsOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of weights, batches and augmentation.")] = 0,
    device: DeviceOption = DeviceChoice.AUTO,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Train an embedding model. Reads a dataset version, publishes a model version, and makes it the candidate."""
    open_dataset(check_usage(lake), dataset)
    checked_name(model)
    settings = read_settings(values, "train")
    uses_cuda(device.value)
    output.set_up()
    from flows.train import train as flow  # noqa: PLC0415

    result = flow(
        lake,
        dataset=dataset,
        model=model,
        margin=margin,
        preset=preset.value,
        steps=steps,
        seed=seed,
        device=device.value,
        settings=settings,
    )
    output.print(result, show_trained)


def show_stage(console: Console, stage: str, result: Any) -> None:
    """Print the result of one pipeline stage."""
    if "sources" in result:
        for source, one in result["sources"].items():
            say(console, f"[bold]source[/]   {source}")
            show_stage(console, stage, one)
        return
    if stage == "retry" and not result["asked"]:
        return
    shown: dict[str, Callable[[Console, Any], None]] = {
        "ingest": show_ingested,
        "retry": show_retried,
        "crop": show_cropped,
        "publish": show_published,
        "train": show_trained,
    }
    shown[stage](console, result)


def show_ingested(console: Console, result: dict[str, Any]) -> None:
    """Print the counts of link lines and candidates, and the fetch results."""
    say(
        console,
        f"[bold]links[/]    {result['lines']:,} lines, {result['rejected_lines']:,} rejected; "
        f"{result['candidates']:,} distinct URLs selected",
    )
    show_fetched(console, result)


def show_fetched(console: Console, result: dict[str, Any], name: str = "fetch") -> None:
    """Print the results of a round of requests."""
    why = ", ".join(f"{reason} {num:,}" for reason, num in result["rejected"].items())
    asked = f"{result['asked']:,} requested, {result['accepted']:,} accepted" if result["asked"] else "nothing to fetch"
    say(console, f"[bold]{name:<8}[/] {asked}" + (f"; {why}" if why else ""))


def show_retried(console: Console, result: dict[str, Any]) -> None:
    """Print the results of a retry."""
    show_fetched(console, result, "retry")


def _forecast(due: dict[str, int], *, is_archive: bool) -> str:
    """The number of links that a retry will request, by reason."""
    what = "gone, to be fetched from the archive" if is_archive else "due for retry"
    why = ", ".join(f"{reason} {num:,}" for reason, num in due.items())
    return f"{sum(due.values()):,} links are {what}" + (f": {why}" if why else "")


def show_cropped(console: Console, result: dict[str, Any]) -> None:
    """Print the numbers of pictures searched and faces cropped, in this run and in total."""
    faces = ", ".join(f"{num:,} by {method}" for method, num in result["faces"].items())
    say(
        console,
        f"[bold]crop[/]     {result['detected']:,} pictures searched, {result['cropped']:,} faces cropped; "
        f"total {faces}",
    )
    if "report" in result:
        say(console, f"[bold]report[/]   {result['report']}")


def show_cleaned(console: Console, result: list[dict[str, Any]]) -> None:
    """Print how many faces are mislabelled, and which names belong to the same person."""
    for one in result:
        say(
            console,
            f"[bold]clean[/]    {one['method']}: {one['wrong_person']:,} of {one['faces']:,} faces of "
            f"{one['people']:,} people mislabelled according to {one['model']}",
        )
        for pair in one["same_person"]:
            say(
                console,
                f"         {pair['other']} is the same person as {pair['identity']} ({pair['same_person_score']:.2f})",
            )


def show_published(console: Console, result: list[dict[str, Any]]) -> None:
    """Print the funnel and the version of each method."""
    for one in result:
        title = f"{one['dataset']}@{one['version']}" + ("" if one["is_new"] else " (existing)")
        console.print(funnel_table(title, one["funnel"]))
        if one["funnels"]:
            console.print(by_source_table(one["funnels"]))
        say(console, f"{one['samples']:,} faces of {one['identities']:,} people")
        if one["note"]:
            say(console, one["note"])
        say(console, "")
    excluded = result[0]["excluded"] if result else []
    for match in excluded:
        say(console, f"excluded {match['identity']}: listed as {match['listed']}, similarity {match['alike']:g}/100")


def show_trained(console: Console, result: dict[str, Any]) -> None:
    """Print the model version and its metrics, or the flow run that will train it."""
    if "left_out" in result:
        say(console, f"[bold]train[/]    left out: {result['left_out']}")
        return
    if "flow_run" in result:
        say(console, f"[bold]train[/]    scheduled on the server as {result['flow_run'] or 'a separate run'}")
        return
    known = "" if result["is_new"] else " (existing)"
    note = f": {result['note']}" if result.get("note") else ""
    say(
        console,
        f"[bold]train[/]    {result['model']}@{result['version']}{known}: verification AUC on unseen people "
        f"{result['auc']:.3f}, untrained {result['untrained_auc']:.3f}{note}",
    )
