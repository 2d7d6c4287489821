"""`facemill doctor`: checks of this machine, a lake and a service."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import JsonOption, print_result, reporting
from flows.cli.terminal import say
from flows.configuration.settings import tame_libraries


@reporting
def doctor(
    lake: Annotated[
        str | None, typer.Option("--lake", metavar="URL", help="Folder or URL of the lake. Default: ./lake.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port of the service, unless PREFECT_API_URL names one.")
    ] = 4200,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=1, max=65535, help="Port of the service's metrics.")
    ] = 4201,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, the lake and the service. Prints one line a check: ok, warn or fail.

    Changes nothing. The exit code is 0 unless a check fails; a warning does not change it. Without a running service
    its checks are left out.
    """
    from flows.doctor.examine import examine  # noqa: PLC0415

    tame_libraries(verbose=False, is_service=True)
    verdicts = examine(lake, port, metrics_port, os.environ)
    levels = [one.level.value for one in verdicts]
    result = {
        "checks": [
            {
                "check": one.check,
                "level": one.level.value,
                "value": one.value,
                "limit": one.limit,
                "advice": one.advice,
                "text": one.text,
            }
            for one in verdicts
        ],
        **{level: levels.count(level) for level in ("ok", "warn", "fail")},
    }
    print_result(result, as_json, show_doctor)
    if result["fail"]:
        raise typer.Exit(1)


def show_doctor(console: Console, result: dict[str, Any]) -> None:
    """Print one line per check, and how many ended in which way."""
    width = max((len(one["check"]) for one in result["checks"]), default=0)
    for one in result["checks"]:
        say(console, f"[bold]{one['level']}[/]{' ' * (6 - len(one['level']))}{one['check']:<{width}}  {one['text']}")
    say(console, f"{result['ok']} ok, {result['warn']} to look at, {result['fail']} failed")
