"""`facemill synthetic ...`: generate synthetic datasets, and serve their images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import (
    JsonOption,
    bar,
    follow,
    print_result,
    reporting,
)
from flows.cli.terminal import say


@reporting
def synthetic_make(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the dataset.")],
    identities: Annotated[int, typer.Option(min=1, help="Number of people.")] = 40,
    per_identity: Annotated[int, typer.Option(min=1, help="Number of links per person.")] = 30,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed gives the same files, byte for byte.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Generate a synthetic dataset. Writes link files, pictures of invented people, faults, and the ground truth."""

    from synthetic.world import make_world  # noqa: PLC0415

    with bar("make world", identities * per_identity) as reach:
        summary = make_world(
            folder,
            num_identities=identities,
            per_identity=per_identity,
            seed=seed,
            on_progress=lambda done, total: reach(done),
        )
    print_result(asdict(summary), as_json, show_world)
    follow("synthetic make", {"folder": str(folder)}, as_json=as_json)


@reporting
def synthetic_serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder made by `facemill synthetic make`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
) -> None:
    """Serve a synthetic dataset until Ctrl-C. Its pictures and faults are served on a loopback port."""
    from synthetic.origin import serve_forever  # noqa: PLC0415

    def ready(bound: int) -> None:
        typer.echo(f"{folder} is served on 127.0.0.1:{bound}; stop with Ctrl-C", err=True)
        follow("synthetic serve", {"folder": str(folder), "port": bound})

    serve_forever(folder, port, ready)


def show_world(console: Console, result: dict[str, Any]) -> None:
    """Print the counts of a synthetic dataset."""
    for name, value in result.items():
        words = ", ".join(f"{key} {num:,}" for key, num in value.items()) if isinstance(value, dict) else str(value)
        say(console, f"{name.replace('_', ' '):<16} {words}")
