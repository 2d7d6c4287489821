"""`facemill serve` and `facemill work`: the service, and workers on other machines that connect to it."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import (
    RunOptions,
    RunsOption,
    SetOption,
    VerboseOption,
    follow,
    reporting,
)
from flows.cli.terminal import say
from flows.configuration.setting_groups import read_settings
from flows.configuration.settings import Settings, load_settings, tame_libraries
from flows.reports.link import REPORTS
from flows.service.backing_services import BackingServices
from flows.service.password import (
    OF_SERVER,
    make_private,
    password_of_client,
    password_of_server,
    password_path,
    prefect_home,
)
from flows.service.request_guard import login_link
from flows.service.schedule import deployments, next_runs
from flows.service.serve import Address
from flows.service.serve import serve as run_service
from flows.service.trends import Thresholds
from flows.service.work import check_free
from flows.service.work import work as run_workers
from flows.telemetry.console import new_console
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.text.source_names import sources_of
from tasks.dataset.split import check_enough_people
from tasks.fetch.consent import contacts_outside, has_consent
from tasks.links.list_source import open_source
from tasks.links.recipes.recipe import preset_names

MetricsPortOption = Annotated[
    int, typer.Option("--metrics-port", min=1, max=65535, help="Port of the Prometheus metrics, on loopback.")
]


class PoolChoice(StrEnum):
    """Work pool, by the hardware its runs need."""

    CPU = "cpu"
    GPU = "gpu"


@reporting
def serve(
    *,
    options: RunOptions,
    runs: RunsOption = 1,
    values: SetOption = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on. Anyone with the password can run any command on this machine."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the web UI and the API.")] = 4200,
    metrics_port: MetricsPortOption = 4201,
    notify: Annotated[
        str | None,
        typer.Option(
            "--notify",
            metavar="TYPE/NAME",
            help="Notification block of Prefect by which people are told of failed runs, a broken lake, a disk that "
            "will be full and a growing backlog. Default: FACEMILL_NOTIFY.",
        ),
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Run the service until Ctrl-C.

    Starts a Prefect server with its web UI, the deployments, and their workers.

    All options except --host, --notify and the ports become the parameters of the scheduled runs. Set
    FACEMILL_DATABASE_URL and FACEMILL_REDIS_URL to use your own PostgreSQL and Redis.
    """
    store, selection = options.select()
    for one in selection.sources:
        open_source(store, one, selection.links, selection.recipe)
    people = selection.identities
    settings_of_runs = read_settings(values, "pipeline")
    if people is not None:
        check_enough_people(people if isinstance(people, int) else len(people))
    address = Address(host, port, metrics_port)
    address.check_free()
    tame_libraries(verbose=verbose, is_service=True)
    settings = load_settings()
    make_private(prefect_home(os.environ))
    password = password_of_server(os.environ, settings.password_file)

    parameters = {
        **asdict(selection),
        "lake": _absolute(options.lake),
        "links": selection.links and _absolute(selection.links),
        "recipe": selection.recipe and _absolute_recipe(selection.recipe),
        "runs": runs,
        "allow_outside": options.yes,
        "settings": settings_of_runs,
    }
    console = new_console(stderr=True)
    how = login(console, address, password)
    run_service(
        address,
        parameters,
        password=password,
        backing=_backing_services(settings),
        notify=settings.notify if notify is None else notify,
        thresholds=Thresholds(settings.notify_disk_days, settings.notify_backlog),
        report=lambda line: say(console, f"[bold]serve[/]    {line}"),
        log=lambda line: typer.echo(line, err=True),
        up=lambda deployed: _show(console, address, parameters, deployed, how),
    )


@reporting
def work(
    server: Annotated[str, typer.Option("--server", metavar="URL", help="URL of `facemill serve`: http://HOST:4200.")],
    pool: Annotated[
        list[PoolChoice] | None,
        typer.Option("--pool", metavar="cpu|gpu", help="Work pool to serve; repeatable. Default: cpu."),
    ] = None,
    metrics_port: MetricsPortOption = 4201,
    verbose: VerboseOption = False,
) -> None:
    """Run workers for another machine's server. Stops on Ctrl-C. Both machines must be able to reach the lake."""
    if not server.startswith(("http://", "https://")):
        raise UsageError(f"--server {server} must be a URL such as http://192.0.2.1:4200")
    check_free("127.0.0.1", metrics_port)
    tame_libraries(verbose=verbose, is_service=True)
    password = password_of_client(os.environ, load_settings().password_file)

    api = f"{server.rstrip('/').removesuffix('/api')}/api"
    pools = [one.value for one in pool or [PoolChoice.CPU]]
    console = new_console(stderr=True)
    run_workers(
        api,
        pools,
        metrics_port,
        password=password,
        report=lambda line: say(console, f"[bold]work[/]     {line}"),
        log=lambda line: typer.echo(line, err=True),
        up=lambda: _show_lines(
            console,
            {
                "server": api,
                "pools": ", ".join(pools),
                "metrics": f"http://127.0.0.1:{metrics_port}/metrics",
                "stop": "Ctrl-C",
            },
        ),
    )


def _backing_services(settings: Settings) -> BackingServices:
    return BackingServices(settings.database_url.get_secret_value(), settings.redis_url.get_secret_value())


def login(console: Console, address: Address, password: str) -> str:
    """How to open the web UI. The link contains the password on a terminal only, so that no log keeps it."""
    if console.is_terminal:
        return login_link(address.pages, password)
    if os.environ.get(OF_SERVER):
        return f"{address.pages}, with the password of {OF_SERVER}"
    return f"{address.pages}, with the password in {password_path(os.environ, load_settings().password_file)}"


def _absolute(place: str) -> str:
    """Make a path absolute; return a URL unchanged."""
    return place if "://" in place else str(Path(place).resolve())


def _absolute_recipe(recipe: str) -> str:
    return recipe if recipe in preset_names() else _absolute(recipe)


def _show(console: Console, address: Address, parameters: dict[str, Any], deployed: list[str], how: str) -> None:
    lines = {
        "pages": how,
        "reports": f"{address.pages}{REPORTS}",
        "metrics": f"http://127.0.0.1:{address.metrics_port}/metrics",
        "lake": f"{parameters['lake']}, source {parameters['source']}",
        "runs": ", ".join(deployed),
        "people": _people(parameters["identities"]),
    }
    if _waits_for_yes(parameters):
        lines["consent"] = "required for outside hosts: serve --yes, or allow_outside=true for one run"
    lines["stop"] = "Ctrl-C"
    _show_lines(console, lines)
    from flows.service.setup import start_page  # noqa: PLC0415 - imports Prefect

    now = datetime.now(UTC)
    scheduled = next_runs(deployments()["deployments"], now)
    whens = {name: f"{time:%Y-%m-%d %H:%M} UTC" for name, time in scheduled.items()}
    follow("serve", {"page": start_page(address.pages, "pipeline/pipeline"), "scheduled": whens})


def _people(identities: int | list[str] | None) -> str:
    if identities is None:
        return "all"
    return f"the first {identities:,}" if isinstance(identities, int) else ", ".join(identities)


def _waits_for_yes(parameters: dict[str, Any]) -> bool:
    """Whether the scheduled runs will refuse the first contact with outside hosts for lack of consent."""
    lake, links = Lake(parameters["lake"]), parameters["links"]
    sources = [open_source(lake, one, links, parameters["recipe"]) for one in sources_of(parameters["source"])]
    waiting = [
        one
        for one in sources
        if contacts_outside(one, links, parameters["connect_to"]) and not has_consent(lake, one.name)
    ]
    return not parameters["allow_outside"] and bool(waiting)


def _show_lines(console: Console, lines: dict[str, str]) -> None:
    for name, text in lines.items():
        say(console, f"[bold]{name:<8}[/] {text}")
