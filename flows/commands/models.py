"""`facemill models ...`: the model versions of a lake."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.options import (
    JsonOption,
    LakeOption,
    existing_lake,
    print_result,
    reporting,
)
from storage.models import open_model


@reporting
def models_list(lake: LakeOption, as_json: JsonOption = False) -> None:
    """List the model versions, oldest first."""
    from flows.status import lake_status  # noqa: PLC0415

    print_result(lake_status(existing_lake(lake))["models"], as_json, show_models)


@reporting
def models_show(
    version: Annotated[str, typer.Argument(metavar="NAME[@VERSION]")],
    lake: LakeOption,
    as_json: JsonOption = False,
) -> None:
    """Show the figures and the lineage of a model version."""

    found = open_model(existing_lake(lake), version)
    facts = {
        "model": str(found),
        "manifest": found.manifest,
        "metrics": found.read_json("metrics.json"),
        "lineage": found.read_json("lineage.json"),
        "config": found.read_json("config.json"),
    }
    print_result(facts, as_json, show_model)


def show_models(console: Console, result: list[dict[str, Any]]) -> None:
    """Model versions, a line each."""
    for one in result:
        console.print(
            f"model {one['model']}@{one['version']}: AUC {one['auc']:.3f}, on {one['dataset']}, {one['trained_at']}"
        )


def show_model(console: Console, result: dict[str, Any]) -> None:
    """One model version whole."""
    console.print(f"[bold]{result['model']}[/]")
    console.print_json(data={name: result[name] for name in ("metrics", "config", "lineage")})
