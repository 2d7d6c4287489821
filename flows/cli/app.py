"""`facemill ...`: lists every command, and imports the module of the one that runs.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.configuration.setting_files import access

# The commands of a group: the module below `flows.cli` and the first sentence of the help. All modules together take
# 0.6 CPU-s to import, so `facemill --help` imports none. Their functions are named `<command>` or `<group>_<command>`.
_COMMANDS = {
    "": {
        "pipeline": ("pipeline_commands", "Run all stages: fetch, crop, publish, train."),
        "links": ("list_commands", "Read a list of pictures and print its contents."),
        "ingest": ("pipeline_commands", "Read the link files and fetch new pictures."),
        "retry": ("pipeline_commands", "Fetch the failed links that are due for retry."),
        "crop": ("pipeline_commands", "Detect and crop faces in the accepted pictures."),
        "clean": ("pipeline_commands", "Find mislabelled faces and people with two names."),
        "publish": ("pipeline_commands", "Publish one immutable dataset version per crop method."),
        "train": ("pipeline_commands", "Train an embedding model."),
        "experiment": ("experiment_commands", "Compare crop methods and margins."),
        "settings": ("setting_commands", "List all settings, their values and where those come from."),
        "embed": ("face_commands", "Embed the main face of each photo."),
        "compare": ("face_commands", "Verify whether two photos show the same person."),
        "status": ("lake_commands", "Show the contents of a lake."),
        "compact": ("lake_commands", "Merge the small tables of a lake."),
        "doctor": ("doctor_commands", "Check this machine, the lake and the service."),
        "check": ("takedown_commands", "Verify the integrity of a lake (fsck)."),
        "prune": ("prune_commands", "Remove old versions and runs, and disposable files."),
        "forget": ("takedown_commands", "Record a takedown request."),
        "serve": ("service_commands", "Run the service until Ctrl-C."),
        "work": ("service_commands", "Run workers for another machine's server."),
        "diff": ("dataset_commands", "Compare two dataset versions."),
        "export": ("dataset_commands", "Export a dataset version to another format."),
        "report": ("dataset_commands", "Write an HTML report on a dataset version."),
    },
    "datasets": {
        "list": ("dataset_commands", "List dataset versions, oldest first, with their tags."),
        "show": ("dataset_commands", "Show the settings, the counts and the funnel of a dataset version."),
        "tag": ("tag_commands", "Let a tag stand for a dataset version."),
        "untag": ("tag_commands", "Remove a tag from a dataset."),
    },
    "models": {
        "list": ("model_commands", "List model versions, oldest first, with their aliases."),
        "show": ("model_commands", "Show metrics, lineage and aliases of a version."),
        "evaluate": ("model_commands", "Evaluate a model version."),
        "report": ("model_commands", "Write an HTML report on a version."),
        "diff": ("model_commands", "Compare two versions."),
        "promote": ("model_commands", "Make a version the champion."),
        "rollback": ("model_commands", "Restore the previous champion."),
    },
    "synthetic": {
        "make": ("synthetic_commands", "Generate a synthetic dataset."),
        "serve": ("synthetic_commands", "Serve a synthetic dataset until Ctrl-C."),
    },
}
_GROUPS = {
    "datasets": "Inspect and tag the dataset versions of a lake.",
    "models": "Inspect, evaluate and promote the model versions of a lake.",
    "synthetic": "Generate and serve a synthetic dataset.",
}
# Help is as wide as the terminal: Click's own limit is 80 columns.
_PLAIN: Mapping[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"max_content_width": 10_000},
}


def _group(name: str, summary: str) -> typer.Typer:
    """A group whose commands are known by their first sentence until one of them runs, completes or shows its help."""

    class Group(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            command, listed, rest = super().resolve_command(ctx, args)
            return command, load_command(name, command) if command in _COMMANDS[name] else listed, rest

    group = typer.Typer(cls=Group, help=summary, no_args_is_help=True, add_completion=not name, **_PLAIN)
    for command, (_, sentence) in _COMMANDS[name].items():
        group.command(command, help=sentence)(lambda: None)
    return group


app = _group("", "Build face datasets from lists of image links, and train face embedding models on them.")
for _name, _summary in _GROUPS.items():
    app.add_typer(_group(_name, _summary), name=_name)


def load_command(group: str, name: str) -> Any:
    """Import a command and build its parser.

    Args:
        group: a key of `_GROUPS`, or empty for a command of `facemill` itself.
    """
    module, _ = _COMMANDS[group][name]
    single = typer.Typer(add_completion=False, **_PLAIN)
    function = getattr(import_module(f"flows.cli.{module}"), f"{group}_{name}".lstrip("_"))
    single.command(name)(function)
    return typer.main.get_command(single)


def all_commands() -> Iterator[tuple[str, str, Any]]:
    """Every command as it is typed, its first sentence in the list of commands, and its parser."""
    for group, commands in _COMMANDS.items():
        for name, (_, sentence) in commands.items():
            yield " ".join(filter(None, ("facemill", group, name))), sentence, load_command(group, name)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"facemill {version('facemill')}")
        raise typer.Exit


@app.callback()
def facemill(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Global options."""


def set_umask() -> None:
    """Set the umask of this process and its children: no access for others, group access by FACEMILL_ACCESS.

    A new lake takes the group's permissions from it (`Lake.begin`). The setting is read here because the other
    settings take 0.1 CPU-s to import; the command itself reports an invalid one.
    """
    os.umask(0o007 if access() == "group" else 0o077)


def main() -> None:
    """The entry point of the `facemill` command."""
    set_umask()
    app()
