"""`facemill ...`: registers every command.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from flows.cli import dataset_commands as datasets
from flows.cli import experiment_commands as experiment
from flows.cli import face_commands as faces
from flows.cli import lake_commands as lake
from flows.cli import list_commands as lists
from flows.cli import model_commands as models
from flows.cli import pipeline_commands as run
from flows.cli import service_commands as service
from flows.cli import synthetic_commands as world
from flows.cli import takedown_commands as custody
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
    run.pipeline,
    lists.links,
    run.ingest,
    run.retry,
    run.crop,
    run.clean,
    run.publish,
    run.train,
    experiment.experiment,
    faces.embed,
    faces.compare,
    lake.status,
    custody.check,
    custody.forget,
    service.serve,
    service.work,
):
    app.command()(command)
app.command()(datasets.diff)
app.command()(datasets.export)
app.command()(datasets.report)

datasets_app = _group("Inspect the dataset versions of a lake.")
datasets_app.command("list")(datasets.datasets_list)
datasets_app.command("show")(datasets.datasets_show)
app.add_typer(datasets_app, name="datasets")

models_app = _group("Inspect, evaluate and promote the model versions of a lake.")
models_app.command("list")(models.models_list)
models_app.command("show")(models.models_show)
models_app.command("evaluate")(models.models_evaluate)
models_app.command("report")(models.models_report)
models_app.command("diff")(models.models_diff)
models_app.command("promote")(models.models_promote)
models_app.command("rollback")(models.models_rollback)
app.add_typer(models_app, name="models")

world_app = _group("Generate and serve a synthetic dataset.")
world_app.command("make")(world.world_make)
world_app.command("serve")(world.world_serve)
app.add_typer(world_app, name="world")


def main() -> None:
    """The entry point of the `facemill` command."""
    set_umask()
    app()
