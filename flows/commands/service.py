"""`facemill serve`: the server, its pages, and the workers that run what is scheduled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.options import (
    ConnectToOption,
    IdentitiesOption,
    LakeOption,
    LinksOption,
    PerIdentityOption,
    SourceChoice,
    SourceOption,
    VerboseOption,
    check_usage,
    chosen_people,
    reporting,
    set_up,
)
from flows.service.serve import Address
from flows.service.serve import serve as run_service


@reporting
def serve(
    lake: LakeOption,
    source: SourceOption = SourceChoice.VGGFACE1,
    links: LinksOption = None,
    identities: IdentitiesOption = None,
    per_identity: PerIdentityOption = None,
    connect_to: ConnectToOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on. It has no login: leave it local.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the pages and of the API.")] = 4200,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=1, max=65535, help="Port of the metrics, on loopback.")
    ] = 4201,
    verbose: VerboseOption = False,
) -> None:
    """Run the service until Ctrl-C: Prefect's server with its pages, the deployments, and their workers.

    The options but --host and the ports become the parameters of the scheduled runs.
    """
    check_usage(lake, links, connect_to)
    set_up(verbose, None)

    parameters = {
        "lake": _absolute(lake),
        "source": source.value,
        "links": _absolute(links) if links else None,
        "identities": chosen_people(identities),
        "per_identity": per_identity,
        "connect_to": connect_to,
    }
    console = Console(stderr=True)
    address = Address(host, port, metrics_port)
    run_service(
        address,
        parameters,
        tell=lambda line: console.print(f"[bold]serve[/]    {line}"),
        log=lambda line: typer.echo(line, err=True),
        up=lambda deployments: _show(console, address, parameters, deployments),
    )


def _absolute(place: str) -> str:
    """A path that means the same in every folder; a URL as it is."""
    return place if "://" in place else str(Path(place).resolve())


def _show(console: Console, address: Address, parameters: dict[str, Any], deployments: list[str]) -> None:
    lines = {
        "pages": address.pages,
        "metrics": f"http://127.0.0.1:{address.metrics_port}/metrics",
        "lake": f"{parameters['lake']}, source {parameters['source']}",
        "runs": ", ".join(deployments),
        "stop": "Ctrl-C",
    }
    for name, text in lines.items():
        console.print(f"[bold]{name:<8}[/] {text}", soft_wrap=True)
