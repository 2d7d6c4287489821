"""`facemill ...`: reads what was asked for, calls the flows, prints what came of it.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from flows import show
from flows.settings import choose_log, load_settings, tame_libraries
from storage.errors import FacemillError, UsageError
from storage.lake import Lake
from tasks.crops import METHOD_CHOICES
from tasks.web.archive import checked_template
from tasks.web.http import ConnectTo

# The flows import Prefect, which takes two seconds: only the commands that run one import them.

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
world_app = typer.Typer(
    no_args_is_help=True, help="Make a world of invented people and links, and serve it on loopback."
)
models_app = typer.Typer(no_args_is_help=True, help="Look at the model versions of a lake.")
app.add_typer(world_app, name="world")
app.add_typer(models_app, name="models")

Given = ParamSpec("Given")
Result = TypeVar("Result")


class SourceChoice(StrEnum):
    """Where the links come from."""

    VGGFACE1 = "vggface1"
    VGGFACE2 = "vggface2"
    SYNTHETIC = "synthetic"


class PresetChoice(StrEnum):
    """How large a network is trained, and for how long."""

    AUTO = "auto"
    SMOKE = "smoke"
    FULL = "full"


class LogChoice(StrEnum):
    """How progress is shown."""

    BAR = "bar"
    JSON = "json"


class DeviceChoice(StrEnum):
    """Where a model is trained."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def _method(text: str) -> str:
    if text not in METHOD_CHOICES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(METHOD_CHOICES)}")
    return text


def _lake_of_settings() -> str:
    try:
        return load_settings().lake
    except UsageError as error:
        typer.echo(f"facemill: {error}", err=True)
        raise typer.Exit(2) from error


LakeOption = Annotated[
    str,
    typer.Option(
        "--lake",
        metavar="URL",
        help="Folder, or URL such as s3://bucket/lake.",
        default_factory=_lake_of_settings,
        show_default="./lake",
    ),
]
SourceOption = Annotated[SourceChoice, typer.Option("--source", help="Where the links come from.")]
LinksOption = Annotated[
    str | None,
    typer.Option(
        "--links",
        metavar="PATH|URL",
        help="Folder of link files, .tar.gz or .tar.xz of them, URL of such an archive, or base URL of single files; "
        "for vggface2 the folder with a folder per person. Default: where the source is published.",
    ),
]
IdentitiesOption = Annotated[
    str | None,
    typer.Option("--identities", metavar="N|NAME,...", help="The first N people, or these. Default: all."),
]
PerIdentityOption = Annotated[
    int | None,
    typer.Option("--per-identity", metavar="M", min=1, help="The first M links of each. Default: all."),
]
ConnectToOption = Annotated[
    str | None,
    typer.Option("--connect-to", metavar="HOST:PORT", help="Send every request there, whatever host its link names."),
]
MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="|".join(METHOD_CHOICES),
        parser=_method,
        help="The listed box, MTCNN, one dataset for each of these two, or another detector's choice.",
    ),
]
DatasetOption = Annotated[str, typer.Option("--dataset", metavar="NAME", help="Datasets are called NAME-METHOD.")]
MinFaceOption = Annotated[
    int,
    typer.Option("--min-face", metavar="PX", min=1, help="Shorter side of a face in its picture, at least."),
]
MarginOption = Annotated[float, typer.Option("--margin", help="Margin of the triplet loss; the author tried 1 and 2.")]
DeviceOption = Annotated[DeviceChoice, typer.Option("--device", help="Where to train.")]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Batches to train on. Default: as the preset says.")
]
PresetOption = Annotated[PresetChoice, typer.Option("--preset", help="Auto chooses by the device.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
LogOption = Annotated[
    LogChoice | None,
    typer.Option(
        "--log", help="Progress as a bar, or as JSON lines on the error stream. Default: FACEMILL_LOG, or bar."
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show Prefect's own log.")]


def reporting(command: Callable[Given, Result]) -> Callable[Given, Result]:
    """Turn facemill's errors into one line on the error stream and the right exit code."""

    @wraps(command)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except FacemillError as error:
            typer.echo(f"facemill: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
        except KeyboardInterrupt as error:
            typer.echo("facemill: stopped; the same command goes on where it was", err=True)
            raise typer.Exit(1) from error

    return wrapped


@app.command()
@reporting
def pipeline(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    links: LinksOption = None,
    identities: IdentitiesOption = None,
    per_identity: PerIdentityOption = None,
    connect_to: ConnectToOption = None,
    method: MethodOption = "both",
    dataset: DatasetOption = "faces",
    min_face: MinFaceOption = 100,
    margin: MarginOption = 1.0,
    steps: StepsOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Do everything: fetch, crop, publish, train. What is done already is not done again."""
    _check(lake, links, connect_to)
    _set_up(verbose, log)
    from flows.pipeline import pipeline as flow  # noqa: PLC0415

    people = _people(identities)
    result = asyncio.run(
        flow(
            lake,
            source.value,
            links,
            people,
            per_identity,
            connect_to,
            method,
            dataset,
            min_face,
            margin,
            steps,
            device.value,
        )
    )
    _print(result, as_json, show.pipeline)


@app.command()
@reporting
def ingest(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    links: LinksOption = None,
    identities: IdentitiesOption = None,
    per_identity: PerIdentityOption = None,
    connect_to: ConnectToOption = None,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Read the link files and fetch the pictures that have not been asked for yet."""
    _check(lake, links, connect_to)
    _set_up(verbose, log)
    from flows.ingest import ingest as flow  # noqa: PLC0415

    result = asyncio.run(flow(lake, source.value, links, _people(identities), per_identity, connect_to))
    _print(result, as_json, show.ingest)


@app.command()
@reporting
def retry(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    links: LinksOption = None,
    connect_to: ConnectToOption = None,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="WORD,...", help="Only links that failed for this. May be repeated."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME,...", help="Only links on this host. May be repeated."),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait until a link's next try has come.")] = False,
    archive_fallback: Annotated[
        bool,
        typer.Option(
            "--archive-fallback", help="Ask the web archive of FACEMILL_ARCHIVE_URL for what is gone for good, instead."
        ),
    ] = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Ask once more for the failed links that are due. Says first how many they are."""
    _check(lake, links, connect_to)
    if archive_fallback:
        checked_template(load_settings().archive_url)
    _set_up(verbose, log)
    from flows.status import due_for, retry_choice  # noqa: PLC0415

    reasons, hosts = _words(reason), _words(host)
    _, due = due_for(Lake(lake), source.value, retry_choice(reasons, hosts, now=now, archive=archive_fallback))
    typer.echo(show.forecast(due, is_archive=archive_fallback), err=True)
    from flows.retry import retry as flow  # noqa: PLC0415

    result = asyncio.run(flow(lake, source.value, links, connect_to, reasons, hosts, now, archive_fallback))
    _print(result, as_json, show.retried)


@app.command()
@reporting
def crop(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    method: MethodOption = "both",
    check_boxes: Annotated[
        bool, typer.Option(help="Correct listed boxes that fit today's picture only rescaled or turned.")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report", help="Write a page with contact sheets: how the methods compare.")
    ] = False,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Find the faces in the accepted pictures and cut them out."""
    _check(lake)
    _set_up(verbose, log)
    from flows.crop import crop as flow  # noqa: PLC0415

    _print(flow(lake, source.value, method, check_boxes, report), as_json, show.cropped)


@app.command()
@reporting
def publish(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    dataset: DatasetOption = "faces",
    method: MethodOption = "both",
    min_face: MinFaceOption = 100,
    check_boxes: Annotated[
        bool, typer.Option(help="Hold listed boxes against the faces detected in today's pictures.")
    ] = True,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Publish an immutable dataset version per method."""
    _check(lake)
    _set_up(verbose, log)
    from flows.publish import publish as flow  # noqa: PLC0415

    _print(flow(lake, source.value, dataset, method, min_face, check_boxes), as_json, show.published)


@app.command()
@reporting
def train(
    lake: LakeOption,
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME[@VERSION]", help="What to train on.")
    ] = "faces-mtcnn",
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="What the model is called.")] = "embedder",
    margin: MarginOption = 1.0,
    preset: PresetOption = PresetChoice.AUTO,
    steps: StepsOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the weights, the batches and the augmentation.")] = 0,
    device: DeviceOption = DeviceChoice.AUTO,
    as_json: JsonOption = False,
    log: LogOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train an embedding model on a dataset version and register it as a model version."""
    _check(lake)
    _set_up(verbose, log)
    from flows.train import train as flow  # noqa: PLC0415

    _print(flow(lake, dataset, model, margin, preset.value, steps, seed, device.value), as_json, show.trained)


@app.command()
@reporting
def status(
    lake: LakeOption,
    hosts: Annotated[
        bool, typer.Option("--hosts", help="Show the hosts instead: the worst, latencies, bytes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count what the lake holds."""
    from flows.status import hosts_status, lake_status  # noqa: PLC0415

    found = _existing(lake)
    if hosts:
        _print({source: hosts_status(found, source) for source in found.names("images")}, as_json, show.hosts)
    else:
        _print(lake_status(found), as_json, show.status)


@models_app.command("list")
@reporting
def models_list(lake: LakeOption, as_json: JsonOption = False) -> None:
    """List the model versions, oldest first."""
    from flows.status import lake_status  # noqa: PLC0415

    _print(lake_status(_existing(lake))["models"], as_json, show.models)


@models_app.command("show")
@reporting
def models_show(
    version: Annotated[str, typer.Argument(metavar="NAME[@VERSION]")],
    lake: LakeOption,
    as_json: JsonOption = False,
) -> None:
    """Show the figures and the lineage of a model version."""
    from storage.models import open_model  # noqa: PLC0415

    found = open_model(_existing(lake), version)
    facts = {
        "model": str(found),
        "manifest": found.manifest,
        "metrics": found.read_json("metrics.json"),
        "lineage": found.read_json("lineage.json"),
        "config": found.read_json("config.json"),
    }
    _print(facts, as_json, show.model)


@world_app.command("make")
@reporting
def world_make(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the world.")],
    identities: Annotated[int, typer.Option(min=1, help="How many people.")] = 40,
    per_identity: Annotated[int, typer.Option(min=1, help="How many links each.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world, byte for byte.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Draw invented people and write a world: link files, pictures, faults, and the truth about them."""
    from dataclasses import asdict  # noqa: PLC0415

    from tasks.sources.synthetic.world import make_world  # noqa: PLC0415

    with show.bar("make world", identities * per_identity) as reach:
        summary = make_world(
            folder,
            num_identities=identities,
            per_identity=per_identity,
            seed=seed,
            on_progress=lambda done, total: reach(done),
        )
    _print(asdict(summary), as_json, show.world)


@world_app.command("serve")
@reporting
def world_serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A world.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
) -> None:
    """Play a world's web on a loopback port until Ctrl-C."""
    from tasks.sources.synthetic.origin import serve_forever  # noqa: PLC0415

    serve_forever(
        folder,
        port,
        lambda bound: typer.echo(f"{folder} is served on 127.0.0.1:{bound}; stop with Ctrl-C", err=True),
    )


def main() -> None:
    """The entry point of the `facemill` command."""
    app()


def _check(lake: str, links: str | None = None, connect_to: str | None = None) -> None:
    """Find wrong usage before anything is started or written."""
    Lake(lake)
    if connect_to is not None:
        ConnectTo.parse(connect_to)
    if links is not None and "://" not in links and not Path(links).exists():
        raise UsageError(f"--links {links}: there is no such file or folder")


def _set_up(verbose: bool, log: LogChoice | None) -> None:
    tame_libraries(verbose=verbose)
    if log is not None:
        choose_log(log.value)


def _words(given: list[str] | None) -> list[str] | None:
    """The words of options that may be repeated or hold several with commas between."""
    words = [word.strip() for text in given or [] for word in text.split(",") if word.strip()]
    return words or None


def _existing(url: str) -> Lake:
    lake = Lake(url)
    if not lake.exists(lake.format_file):
        raise UsageError(f"there is no lake at {url} yet: `facemill pipeline --lake {url}` makes one")
    return lake


def _people(text: str | None) -> int | list[str] | None:
    """A number of people or their names."""
    if text is None:
        return None
    if text.isdecimal():
        if int(text) == 0:
            raise UsageError("--identities 0 leaves nobody: ask for at least 1, or for names")
        return int(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(result: Any, as_json: bool, shown: Callable[[Console, Any], None]) -> None:
    if as_json:
        json.dump(result, sys.stdout, indent=2, default=str)
        sys.stdout.write("\n")
    else:
        shown(Console(), result)
