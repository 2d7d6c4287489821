"""`facemill pipeline`, and one command per stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from uvloop import run

from flows.cli.cost_screen import show_cost
from flows.cli.options import (
    CleanOption,
    DatasetOption,
    DeviceChoice,
    DeviceOption,
    DryRunOption,
    LakeOption,
    MarginOption,
    MinChangeOption,
    MinFaceOption,
    OutputOptions,
    PresetChoice,
    PresetOption,
    ReportOption,
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
    share,
    split_words,
)
from flows.cli.stage_screens import (
    show_cleaned,
    show_cropped,
    show_ingested,
    show_published,
    show_retried,
    show_stage,
    show_trained,
)
from flows.cli.startup import check_retry, check_start
from flows.configuration.setting_groups import read_settings
from flows.configuration.settings import load_settings
from flows.embedder_choice import choose_embedder
from flows.selection import Selection
from flows.telemetry.console import is_quiet, new_console
from model.devices.cuda import uses_cuda
from storage.files.paths import checked_name
from storage.versions.datasets import open_dataset
from tasks.dataset.exclude import read_names
from tasks.faces.method_choice import datasets_of, methods_of
from tasks.faces.methods import METHOD_CHOICES
from tasks.label_noise.score_table import scoring_model
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
    report: ReportOption = False,
    clean: CleanOption = False,
    values: SetOption = None,
    dry_run: DryRunOption = False,
    output: OutputOptions,
) -> None:
    """Run all stages: fetch, crop, publish, train. Work that is already done is skipped."""
    store, selection = asked.select()
    settings = read_settings(values, "pipeline")
    checked_name(f"{dataset}-{method}")
    uses_cuda(device.value)
    if dry_run:
        from flows.forecast.run_cost import pipeline_cost  # noqa: PLC0415

        train = {"margin": margin, "preset": "auto", "steps": steps, "device": device.value}
        cost = pipeline_cost(store, selection, method, dataset, train, settings, num_trainings=1 + clean)
        output.print(cost, show_cost)
        return
    for one in selection.sources:
        alone = replace(selection, source=one)
        check_start(store, alone, settings, as_typed=asked.identities, yes=asked.yes, trains=True)
    output.set_up(asked.lake)
    from flows.pipeline import pipeline as flow  # noqa: PLC0415

    with _showing_stages(output) as done:
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
                report=report,
                clean=clean,
                settings=settings,
            )
        )
    output.follow("pipeline", done, asked.lake, selection.source)


@contextmanager
def _showing_stages(output: OutputOptions) -> Iterator[dict[str, Any]]:
    """Yield the results by stage, filled as each stage ends; show them as they come, also if a later stage fails."""
    from flows.telemetry.stage_summaries import watching  # noqa: PLC0415

    done: dict[str, Any] = {}
    parts: list[Any] = []  # of the stage that runs

    def ended(stage: str, result: Any) -> None:
        parts.clear()
        done[stage] = result
        if not output.as_json:
            show_stage(new_console(), stage, result)

    try:
        with watching(ended, lambda stage, part: parts.append(part)):
            yield done
    finally:
        if parts and "publish" not in done:  # publication failed after one of its datasets
            ended("publish", list(parts))
        if output.as_json and done:
            output.print(done, lambda console, result: None)


@reporting
def ingest(
    *, asked: SelectionOptions, values: SetOption = None, dry_run: DryRunOption = False, output: OutputOptions
) -> None:
    """Read the link files and fetch new pictures. Links that were requested before are skipped; see `retry`."""
    store, selection = asked.select()
    settings = read_settings(values, "ingest")
    if dry_run:
        from flows.forecast.run_cost import ingest_cost  # noqa: PLC0415

        output.print(ingest_cost(store, selection, settings), show_cost)
        return
    check_start(store, selection, settings, as_typed=asked.identities, yes=asked.yes, trains=False)
    output.set_up(asked.lake)
    from flows.ingest import ingest as flow  # noqa: PLC0415

    result = run(flow(asked.lake, **asdict(selection), settings=settings))
    output.print(result, show_ingested)
    output.follow("ingest", result, asked.lake, selection.source)


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
    output.set_up(asked.lake)
    from flows.status import due_for, retry_choice  # noqa: PLC0415

    reasons, hosts = split_words(reason), split_words(host)
    choice = retry_choice(reasons, hosts, now=now, also_final=also_final, archive=archive_fallback)
    with store.listing_once():
        pending, due = due_for(store, source, choice)
    check_retry(store, Selection(source, asked.links, connect_to=asked.connect_to), pending, yes=asked.yes)
    if not is_quiet():
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
    output.follow("retry", result, asked.lake, source)


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
    dry_run: DryRunOption = False,
    output: OutputOptions,
) -> None:
    """Detect and crop faces in the accepted pictures."""
    store, source = asked.open()
    settings = read_settings(values, "crop")
    for one in sources_named(source, store):
        methods_of(method, one)
    if dry_run:
        from flows.forecast.run_cost import cropping_cost  # noqa: PLC0415

        output.print(cropping_cost(store, source, method, settings, check_boxes=check_boxes), show_cost)
        return
    output.set_up(asked.lake)
    from flows.crop import crop as flow  # noqa: PLC0415

    result = flow(asked.lake, source=source, method=method, check_boxes=check_boxes, report=report, settings=settings)
    output.print(result, show_cropped)
    output.follow("crop", result, asked.lake, source)


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
    report: ReportOption = False,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Publish one immutable dataset version per crop method."""
    asked.check()
    settings = read_settings(values, "publish", not_of_files=() if cleaned_by else ("clean", "cleaning"))
    if exclude is not None:
        read_names(exclude)
    checked_name(f"{dataset}-{method}")
    store, source = asked.open()
    if cleaned_by is not None:
        for one in datasets_of(method, *sources_named(source, store)):
            scoring_model(store, source, one, cleaned_by)
    output.set_up(asked.lake)
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
        report=report,
        settings=settings,
    )
    output.print(result, show_published)
    output.follow("publish", result, asked.lake, source)


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
    output.set_up(asked.lake)
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
    output.follow("clean", result, asked.lake, source)


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
    report: ReportOption = False,
    min_change: Annotated[
        float,
        typer.Option(
            "--min-change",
            metavar="SHARE",
            parser=share,
            help="Train only if at least this share of faces or people was added or removed since the version of the "
            "newest model by this name, such as 1%. Other settings, or a newer cleaning, are always trained on.",
            show_default="0",
        ),
    ] = 0.0,
    values: SetOption = None,
    dry_run: DryRunOption = False,
    output: OutputOptions,
) -> None:
    """Train an embedding model. Reads a dataset version, publishes a model version, and makes it the candidate."""
    chosen = open_dataset(check_usage(lake), dataset)
    checked_name(model)
    settings = read_settings(values, "train")
    uses_cuda(device.value)
    if dry_run:
        from flows.configuration.training_config import training_config  # noqa: PLC0415
        from flows.forecast.train_cost import train_cost  # noqa: PLC0415

        asked: dict[str, Any] = {
            "margin": margin,
            "preset": preset.value,
            "steps": steps,
            "seed": seed,
            "device": device.value,
        }
        cost = train_cost(chosen.lake, chosen, *training_config(model, **asked, settings=settings))
        output.print({"train": asdict(cost)}, show_cost)
        return
    output.set_up(lake)
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
        report=report,
        min_change=min_change,
        settings=settings,
    )
    output.print(result, show_trained)
    output.follow("train", result, lake)


def _forecast(due: dict[str, int], *, is_archive: bool) -> str:
    """The number of links that a retry will request, by reason."""
    what = "gone, to be fetched from the archive" if is_archive else "due for retry"
    why = ", ".join(f"{reason} {num:,}" for reason, num in due.items())
    return f"{sum(due.values()):,} links are {what}" + (f": {why}" if why else "")
