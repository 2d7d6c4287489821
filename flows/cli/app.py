"""`facemill ...`: registers every command.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from flows.cli import (
    dataset_commands,
    experiment_commands,
    face_commands,
    lake_commands,
    list_commands,
    model_commands,
    pipeline_commands,
    service_commands,
    synthetic_commands,
    takedown_commands,
)
from flows.settings import set_umask

# Importing the flows imports Prefect, which takes two seconds. Only the commands that run a flow import them.


def _group(help_text: str, *, completion: bool = False) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


app = _group("Build face datasets from lists of image links, and train face embedding models on them.", completion=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facemill {version('facemill')}")
        raise typer.Exit


@app.callback()
def facemill(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Global options."""


for command in (
    pipeline_commands.pipeline,
    list_commands.links,
    pipeline_commands.ingest,
    pipeline_commands.retry,
    pipeline_commands.crop,
    pipeline_commands.clean,
    pipeline_commands.publish,
    pipeline_commands.train,
    experiment_commands.experiment,
    face_commands.embed,
    face_commands.compare,
    lake_commands.status,
    takedown_commands.check,
    takedown_commands.forget,
    service_commands.serve,
    service_commands.work,
):
    app.command()(command)
app.command()(dataset_commands.diff)
app.command()(dataset_commands.export)
app.command()(dataset_commands.report)

datasets_app = _group("Inspect the dataset versions of a lake.")
datasets_app.command("list")(dataset_commands.datasets_list)
datasets_app.command("show")(dataset_commands.datasets_show)
app.add_typer(datasets_app, name="datasets")

models_app = _group("Inspect, evaluate and promote the model versions of a lake.")
models_app.command("list")(model_commands.models_list)
models_app.command("show")(model_commands.models_show)
models_app.command("evaluate")(model_commands.models_evaluate)
models_app.command("report")(model_commands.models_report)
models_app.command("diff")(model_commands.models_diff)
models_app.command("promote")(model_commands.models_promote)
models_app.command("rollback")(model_commands.models_rollback)
app.add_typer(models_app, name="models")

world_app = _group("Generate and serve a synthetic dataset.")
world_app.command("make")(synthetic_commands.world_make)
world_app.command("serve")(synthetic_commands.world_serve)
app.add_typer(world_app, name="world")


def main() -> None:
    """The entry point of the `facemill` command."""
    set_umask()
    app()
