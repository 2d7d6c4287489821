"""`facemill pipeline`, and one command per stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from uvloop import run

from flows.cli.dataset_commands import funnel_table
from flows.cli.options import (
    ConnectToOption,
    DatasetOption,
    DeviceChoice,
    DeviceOption,
    IdentitiesOption,
    JsonOption,
    LakeOption,
    LinksOption,
    LogOption,
    MarginOption,
    MethodOption,
    MinFaceOption,
    PerIdentityOption,
    PresetChoice,
    PresetOption,
    RecipeOption,
    RunsOption,
    SourceOption,
    StepsOption,
    VerboseOption,
    YesOption,
    check_usage,
    chosen_people,
    print_result,
    reporting,
    set_up,
    source_for,
    split_words,
)
from flows.cli.startup import judge_retry, judge_start
from flows.cli.terminal import say
from flows.settings import load_settings
from storage.datasets import open_dataset
from storage.paths import checked_name
from tasks.dataset.exclude import read_names
from tasks.web.web_archive import checked_template


@reporting
def pipeline(
    lake: LakeOption,
    source: SourceOption = None,
    links: LinksOption = None,
    recipe: RecipeOption = None,
    identities: IdentitiesOption = None,
    per_identity: PerIdentityOption = None,
    connect_to: ConnectToOption = None,
    method: MethodOption = "both",
    dataset: DatasetOption = "faces",
    min_face: MinFaceOption = 100,
    margin: MarginOption = 1.0,
    steps: StepsOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    runs: RunsOption = 1,
    yes: YesOption = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Run all stages: fetch, crop, publish, train. Work that is already done is skipped."""
    store = check_usage(lake, links, connect_to)
    checked_name(f"{dataset}-{method}")
    chosen, people = source_for(store, source, starts=True), chosen_people(identities)
    judge_start(
        store, chosen, links, connect_to, people, per_identity, as_typed=identities, yes=yes, trains=True, recipe=recipe
    )
    set_up(verbose, log)
    from flows.pipeline import pipeline as flow  # noqa: PLC0415
    from flows.telemetry.stage_summaries import watching  # noqa: PLC0415

    done: dict[str, Any] = {}

    def ended(stage: str, result: Any) -> None:
        done[stage] = result
        if not as_json:
            show_stage(Console(), stage, result)

    try:
        with watching(ended):
            run(
                flow(
                    lake,
                    source=chosen,
                    links=links,
                    recipe=recipe,
                    identities=people,
                    per_identity=per_identity,
                    connect_to=connect_to,
                    method=method,
                    dataset=dataset,
                    min_face=min_face,
                    margin=margin,
                    steps=steps,
                    device=device.value,
                    runs=runs,
                )
            )
    finally:
        if as_json and done:
            print_result(done, as_json, lambda console, result: None)


@reporting
def ingest(
    lake: LakeOption,
    source: SourceOption = None,
    links: LinksOption = None,
    recipe: RecipeOption = None,
    identities: IdentitiesOption = None,
    per_identity: PerIdentityOption = None,
    connect_to: ConnectToOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Read the link files and fetch new pictures. Links that were requested before are skipped; see `retry`."""
    store = check_usage(lake, links, connect_to)
    chosen, people = source_for(store, source, starts=True), chosen_people(identities)
    judge_start(
        store,
        chosen,
        links,
        connect_to,
        people,
        per_identity,
        as_typed=identities,
        yes=yes,
        trains=False,
        recipe=recipe,
    )
    set_up(verbose, log)
    from flows.ingest import ingest as flow  # noqa: PLC0415

    result = run(
        flow(
            lake,
            source=chosen,
            links=links,
            recipe=recipe,
            identities=people,
            per_identity=per_identity,
            connect_to=connect_to,
        )
    )
    print_result(result, as_json, show_ingested)


@reporting
def retry(
    lake: LakeOption,
    source: SourceOption = None,
    links: LinksOption = None,
    connect_to: ConnectToOption = None,
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
    yes: YesOption = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fetch the failed links that are due for retry. Prints their number first."""
    store = check_usage(lake, links, connect_to)
    chosen = source_for(store, source, starts=False)
    if archive_fallback:
        checked_template(load_settings().archive_url)
    set_up(verbose, log)
    from flows.status import due_for, retry_choice  # noqa: PLC0415

    reasons, hosts = split_words(reason), split_words(host)
    choice = retry_choice(reasons, hosts, now=now, also_final=also_final, archive=archive_fallback)
    pending, due = due_for(store, chosen, choice)
    judge_retry(store, chosen, links, connect_to, pending, yes=yes)
    typer.echo(_forecast(due, is_archive=archive_fallback), err=True)
    from flows.retry import retry as flow  # noqa: PLC0415

    result = run(
        flow(
            lake,
            source=chosen,
            links=links,
            connect_to=connect_to,
            reasons=reasons,
            hosts=hosts,
            now=now,
            archive_fallback=archive_fallback,
            also_final=also_final,
        )
    )
    print_result(result, as_json, show_retried)


@reporting
def crop(
    lake: LakeOption,
    source: SourceOption = None,
    method: MethodOption = "both",
    check_boxes: Annotated[
        bool, typer.Option(help="Correct listed boxes that match the fetched picture only after rescaling or rotation.")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report", help="Write an HTML report that compares the crop methods, with contact sheets.")
    ] = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Detect and crop faces in the accepted pictures."""
    chosen = source_for(check_usage(lake), source, starts=False)
    set_up(verbose, log)
    from flows.crop import crop as flow  # noqa: PLC0415

    result = flow(lake, source=chosen, method=method, check_boxes=check_boxes, report=report)
    print_result(result, as_json, show_cropped)


@reporting
def publish(
    lake: LakeOption,
    source: SourceOption = None,
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
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Publish one immutable dataset version per crop method."""
    store = check_usage(lake)
    if exclude is not None:
        read_names(exclude)
    checked_name(f"{dataset}-{method}")
    chosen = source_for(store, source, starts=False)
    set_up(verbose, log)
    from flows.publish import publish as flow  # noqa: PLC0415

    result = flow(
        lake,
        source=chosen,
        dataset=dataset,
        method=method,
        min_face=min_face,
        check_boxes=check_boxes,
        exclude=exclude,
        cleaned_by=cleaned_by,
        wrong_person_score=wrong_person_score,
    )
    print_result(result, as_json, show_published)


@reporting
def clean(
    lake: LakeOption,
    source: SourceOption = None,
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
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Find mislabelled faces and people with two names. Scores every face by its probability of being mislabelled."""
    chosen = source_for(check_usage(lake), source, starts=False)
    set_up(verbose, log)
    from flows.clean import clean as flow  # noqa: PLC0415

    result = flow(
        lake,
        source=chosen,
        method=method,
        model=model,
        fit_on=fit_on,
        weights=str(weights) if weights else None,
        device=device.value,
    )
    print_result(result, as_json, show_cleaned)


@reporting
def train(
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
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train an embedding model. Reads a dataset version, publishes a model version, and makes it the candidate."""
    open_dataset(check_usage(lake), dataset)
    checked_name(model)
    set_up(verbose, log)
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
    )
    print_result(result, as_json, show_trained)


def show_stage(console: Console, stage: str, result: Any) -> None:
    """Print the result of one pipeline stage."""
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
        say(console, f"{one['samples']:,} faces of {one['identities']:,} people")
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
