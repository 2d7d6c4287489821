"""Shared by the commands: options, error handling and output."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from posixpath import normpath
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.progress import Progress

from flows.cli.next_step import Place, lines, next_steps
from flows.cli.terminal import say
from flows.configuration.setting_groups import options_typed
from flows.configuration.settings import choose_log, load_settings, tame_libraries
from flows.selection import Selection
from flows.telemetry.console import is_quiet, new_console, quietly
from flows.telemetry.log import show_log
from storage.errors import FacemillError, UsageError
from storage.files.lake import CANNOT_WRITE, Lake
from storage.text.names import NAME, visible
from storage.text.source_names import is_joint, joint_name, parse_sources, sources_of

# A number of people, and a number that is a person's name: CASIA, MS1M and Glint have such names.
_COUNT = re.compile(r"[1-9][0-9]*")
_CODE = re.compile(r"0[0-9]+")
# The source of a new lake for which none is named.
_FIRST_SOURCE = "vggface1"


class PresetChoice(StrEnum):
    """Network size and training length."""

    AUTO = "auto"
    SMOKE = "smoke"
    CPU = "cpu"
    FULL = "full"


class LogChoice(StrEnum):
    """How progress is shown."""

    BAR = "bar"
    JSON = "json"


class DeviceChoice(StrEnum):
    """Compute device of a model."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def source_name(text: str) -> str:
    """The name of a source, as `--source` gives it."""
    if not NAME.fits(text):
        raise typer.BadParameter(f"{text!r} is not a valid name: a name has {NAME.words}")
    return text


def source_names(text: str) -> str:
    """One or several sources, as `--source` gives them; several joined."""
    try:
        return parse_sources(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


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
        help="Folder or URL of the lake, such as s3://bucket/lake.",
        default_factory=_lake_of_settings,
        show_default="./lake",
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        parser=source_name,
        help="Source of the links: vggface1, vggface2, synthetic, a preset recipe, or a name for your own list. "
        "Default: the lake's only source, or vggface1 for a new lake.",
    ),
]
SourcesOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME[,NAME...]",
        parser=source_names,
        help="Source of the links: vggface1, vggface2, synthetic, a preset recipe, or a name for your own list. "
        "Several make one dataset. Default: the lake's only source, or vggface1 for a new lake.",
    ),
]
LinksOption = Annotated[
    str | None,
    typer.Option(
        "--links",
        metavar="PATH|URL",
        help="Folder of link files, their .tar.gz or .tar.xz archive, URL of such an archive, or base URL of single "
        "files; for vggface2 the folder with one folder per person; otherwise a list, its folder or its URL. Default: "
        "the source's published location, or the list's location at the last run.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="Meaning of the columns of the list: a preset recipe or a TOML file. Default: guessed.",
    ),
]
IdentitiesOption = Annotated[
    str | None,
    typer.Option(
        "--identities",
        metavar="N|NAME,...",
        help="The first N people, or these names. A leading zero or a comma makes a number a name: 0000099, or '99,'. "
        "Default: all.",
    ),
]
PerIdentityOption = Annotated[
    int | None,
    typer.Option("--per-identity", metavar="M", min=1, help="The first M links of each person. Default: all."),
]
ConnectToOption = Annotated[
    str | None,
    typer.Option(
        "--connect-to", metavar="HOST:PORT", help="Send all requests to this address, whatever the host in the URL."
    ),
]
YesOption = Annotated[
    bool,
    typer.Option(
        "--yes", help="Consent to the lake's first contact with hosts outside this machine, without a prompt."
    ),
]
DatasetOption = Annotated[str, typer.Option("--dataset", metavar="NAME", help="Datasets are named NAME-METHOD.")]
MinFaceOption = Annotated[
    int,
    typer.Option("--min-face", metavar="PX", min=1, help="Minimum shorter side of a face, in pixels of its picture."),
]
MarginOption = Annotated[
    float, typer.Option("--margin", help="Margin of the triplet loss; the original experiment used 1 and 2.")
]
DeviceOption = Annotated[DeviceChoice, typer.Option("--device", help="Compute device; auto uses a GPU if available.")]
StepsOption = Annotated[int | None, typer.Option("--steps", min=1, help="Number of batches. Default: the preset's.")]
ReportOption = Annotated[bool, typer.Option("--report", help="Write an HTML report on each new version.")]
PresetOption = Annotated[
    PresetChoice, typer.Option("--preset", help="Network size and training length; auto chooses by the device.")
]


def share(text: str | float) -> float:
    """A share as typed, `1%` or `0.01`, or the default of the option, which Typer passes here too."""
    text = str(text)
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{text!r} is no share from 0 to 1, such as 1% or 0.01")
    return value


MinChangeOption = Annotated[
    float,
    typer.Option(
        "--min-change",
        metavar="SHARE",
        parser=share,
        help="Make a new version only if at least this share of faces or people was added or removed, such as 1%. "
        "Other settings always make one.",
        show_default="0",
    ),
]
CleanOption = Annotated[
    bool,
    typer.Option(
        "--clean",
        help="Then publish the versions again without the faces that the new model doubts, and train on that.",
    ),
]
RunsOption = Annotated[
    int,
    typer.Option(
        "--runs", metavar="N", min=1, help="Number of runs that share ingest, retry and crop, on free workers."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Also list pruned versions.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
LogOption = Annotated[
    LogChoice | None,
    typer.Option(
        "--log", help="Show progress as a bar, or as JSON lines on the error stream. Default: FACEMILL_LOG, or bar."
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Only print what the run would cost. Sends no request, and writes nothing."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show Prefect's own log.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="Print only the result and errors: no progress, and no next step.")
]


SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="GROUP.FIELD=VALUE",
        help="Change one setting, such as select.min_sharpness=100; repeatable. It takes precedence over an option for "
        "the same field. `facemill settings COMMAND` lists all.",
    ),
]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of a command that works on a source in a lake."""

    lake: LakeOption
    source: SourceOption = None

    def check(self) -> Lake:
        """Validate the options before anything is started or written."""
        return check_usage(self.lake)

    def open(self) -> tuple[Lake, str]:
        """The lake, and the source in it."""
        lake = self.check()
        return lake, source_for(lake, self.source, starts=False)


@dataclass(frozen=True, slots=True)
class SourcesOptions(SourceOptions):
    """Options of a command that works on one or several sources in a lake."""

    source: SourcesOption = None


@dataclass(frozen=True, slots=True)
class RequestOptions(SourceOptions):
    """Options of a command that sends requests."""

    links: LinksOption = None
    connect_to: ConnectToOption = None
    yes: YesOption = False

    def check(self) -> Lake:
        """Validate the options before anything is started or written."""
        return check_usage(self.lake, self.links, self.connect_to)


@dataclass(frozen=True, slots=True)
class SelectionOptions(RequestOptions):
    """Options of a command that selects links, and may add a source to the lake."""

    recipe: RecipeOption = None
    identities: IdentitiesOption = None
    per_identity: PerIdentityOption = None

    def select(self) -> tuple[Lake, Selection]:
        """The lake, and the selection."""
        lake = self.check()
        source, people = source_for(lake, self.source, starts=True), chosen_people(self.identities)
        return lake, Selection(source, self.links, self.recipe, people, self.per_identity, self.connect_to)


@dataclass(frozen=True, slots=True)
class RunOptions(SelectionOptions):
    """Options of a command that runs all stages, on one or several sources."""

    source: SourcesOption = None


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Options of a command that runs a flow."""

    as_json: JsonOption = False
    log: LogOption = None
    verbose: VerboseOption = False

    def set_up(self, lake: str) -> None:
        """Prepare a command that runs a flow; must be called before Prefect is imported.

        Args:
            lake: shown on a terminal at once, since the imports take seconds.
        """
        console = new_console(stderr=True)
        if console.is_terminal and not self.as_json and not is_quiet():
            say(console, f"[bold]lake[/]     {lake}")
        tame_libraries(verbose=self.verbose)
        if self.log is not None:
            choose_log(self.log.value)
        show_log(verbose=self.verbose, as_json=load_settings().log == "json")
        if "PREFECT_API_URL" in os.environ:
            from flows.service.work import check_named_server  # noqa: PLC0415

            check_named_server()

    def print(self, result: Any, shown: Callable[[Console, Any], None]) -> None:
        """Print a result with `shown`, or as one JSON object."""
        print_result(result, self.as_json, shown)

    def follow(self, command: str, result: Any, lake: str, source: str | None = None) -> None:
        """Print what follows the command, unless machines read its output."""
        follow(command, result, lake, source, as_json=self.as_json)


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator of a command: a parameter whose type is a dataclass of options stands for all of these options.

    Every command has `--quiet`. Facemill's errors are printed as one line on the error stream, and set the exit code.
    """
    kinds = {name: kind for name, kind in get_type_hints(command, include_extras=True).items() if name != "return"}
    groups: dict[str, Any] = {name: kind for name, kind in kinds.items() if is_dataclass(kind)}
    options: list[Parameter] = []
    for name, one in signature(command).parameters.items():
        options += _options_of(groups[name]) if name in groups else [_option(name, kinds[name], one.default)]

    options.append(_option("quiet", QuietOption, False))
    options.append(_option("context", typer.Context, MISSING))

    @wraps(command)
    def wrapped(*, quiet: bool = False, context: typer.Context, **given: Any) -> None:
        typed = [name for name in context.params if _is_typed(context, name)]
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        try:
            with quietly(quiet), options_typed(typed):
                command(**given)
        except FacemillError as error:
            typer.echo(f"facemill: {visible(str(error))}", err=True)
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            typer.echo(f"facemill: {_cause(error)}; fix this and run the same command again to resume", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("facemill: stopped; run the same command again to resume", err=True)
            raise typer.Exit(128 + signal.SIGINT) from error

    # Typer reads both.
    wrapped.__signature__ = Signature(options)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in options}
    return wrapped


def _cause(error: OSError) -> str:
    """What could not be written. Semaphores of process pools are files in /dev/shm, which errors do not name."""
    place = error.filename or "a file without a name, perhaps a semaphore in /dev/shm, which must be writable"
    return f"{visible(str(place))}: {error.strerror}"


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    # By name: the enumeration is a private one of Typer.
    return source is not None and source.name == "COMMANDLINE"


def _options_of(kind: Any) -> list[Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [_option(field.name, hints[field.name], field.default) for field in fields(kind)]


def _option(name: str, kind: Any, default: Any) -> Parameter:
    default = Parameter.empty if default is MISSING else default
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def check_usage(lake: str, links: str | None = None, connect_to: str | None = None) -> Lake:
    """Validate options before anything is started or written."""
    found = Lake(lake)
    if connect_to is not None:
        from tasks.web.http import ConnectTo  # noqa: PLC0415

        ConnectTo.parse(connect_to)
    if links is not None and "://" not in links and not Path(links).exists():
        raise UsageError(f"--links {links}: no such file or folder")
    return found


def split_words(given: list[str] | None) -> list[str] | None:
    """Split the values of a repeatable option at commas; None if there are none."""
    words = [word.strip() for text in given or [] for word in text.split(",") if word.strip()]
    return words or None


def existing_lake(url: str) -> Lake:
    """Open an existing lake.

    Raises:
        UsageError: there is none at `url`.
    """
    lake = Lake(url)
    if not lake.exists(lake.format_file):
        raise UsageError(f"there is no lake at {url}: create one with `facemill pipeline --lake {url}`")
    return lake


def source_for(lake: Lake, given: str | None, *, starts: bool) -> str:
    """The source a command works on: the given one, or else the only one of the lake.

    Args:
        starts: whether the command may add a source to the lake; the default for a new lake is then vggface1.

    Raises:
        UsageError: the source is ambiguous, or the lake does not hold it.
    """
    from tasks.links.sources import SOURCES  # noqa: PLC0415

    names = lake.names("links")
    if given is not None and is_joint(given):
        return joint_name(source_for(lake, one, starts=starts) for one in sources_of(given))
    held = [*(one for one in SOURCES if one in names), *(one for one in names if one not in SOURCES)]
    if given is not None and (starts or given in held):
        return given
    if not held:
        if starts:
            return _FIRST_SOURCE
        raise UsageError(f"{lake.url} holds no links: run `facemill ingest` first")
    choices = " or ".join(f"--source {one}" for one in held)
    holds = f"{lake.url} holds {' and '.join(held)}"
    if given is not None:
        raise UsageError(f"{holds}, not {given}: did you mean {choices}?")
    if len(held) > 1:
        raise UsageError(f"{holds}: choose one with {choices}")
    return held[0]


def chosen_people(text: str | None) -> int | list[str] | None:
    """Parse --identities: a number of people, or their names.

    A single whole number is a count, unless it begins with 0 or is followed by a comma.

    Raises:
        UsageError: the text is neither, or selects nobody.
    """
    if text is None:
        return None
    alone = text.strip()
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--identities is empty: give a number of people, or names separated by commas")
    if alone.startswith("first:"):
        alone = alone.removeprefix("first:")
        if not _COUNT.fullmatch(alone):
            raise UsageError(f"--identities first:{alone} is not a number of people: write it as first:5")
        return int(alone)
    if _COUNT.fullmatch(alone):
        return int(alone)
    if alone == "0":
        raise UsageError("--identities 0 selects nobody: use at least 1; for the person named '0' write '0,'")
    if "," not in alone and not _CODE.fullmatch(alone) and _is_number(alone):
        raise UsageError(
            f"--identities {alone} is not a number of people: write a whole number from 1; for the person named "
            f"{alone!r} write '{alone},'"
        )
    return names


def _is_number(text: str) -> bool:
    """Whether a text parses as a number: -5, 1e3, 2.0, or digits of any script."""
    try:
        float(text)
    except ValueError:
        return False
    return any(letter.isdigit() for letter in text)


def print_result(result: Any, as_json: bool, shown: Callable[[Console, Any], None]) -> None:
    """Print a result with `shown`, or as one JSON object."""
    if as_json:
        json.dump(result, sys.stdout, indent=2, default=str)
        sys.stdout.write("\n")
    else:
        shown(new_console(), result)


def follow(command: str, result: Any, lake: str = "", source: str | None = None, *, as_json: bool = False) -> None:
    """Print the next step after a command on the error stream: not with --json, and not with --quiet.

    Args:
        lake: as given to the command; empty if it has none.
        source: as given to the command, or the only one of the lake.
    """
    if as_json or is_quiet():
        return
    console = new_console(stderr=True)
    for line in lines(next_steps(command, result, _place(lake, source))):
        say(console, line)


def _place(lake: str, source: str | None) -> Place:
    if not lake:
        return Place()
    is_only = source is None or len(Lake(lake).names("links")) < 2
    is_default = normpath(lake) == normpath(load_settings().lake)
    return Place(lake, is_default, None if is_only or not source else source.replace("+", ","))


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on the error stream, outside of any flow."""
    errors = new_console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal or is_quiet()) as progress:
        task = progress.add_task(name, total=total)
        yield lambda done: progress.update(task, completed=done)
