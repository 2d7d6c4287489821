"""`facemill settings`: the fields that `--set` changes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import JsonOption, print_result, reporting
from flows.cli.terminal import say
from flows.setting_groups import FLOWS, GROUPS, setting_fields, shown_default
from storage.errors import UsageError


@reporting
def settings(
    command: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="Only the fields of this command. Default: of all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the fields that --set changes. Shows type, range and default of each."""
    if command is not None and command not in FLOWS:
        raise UsageError(f"{command} has no --set; these have: {', '.join(FLOWS)}")
    print_result(setting_rows(command), as_json, show_settings)


def setting_rows(flow: str | None = None) -> list[dict[str, Any]]:
    """Every field, or those of one flow: group, name, type, default, commands, meaning."""
    return [
        {
            "group": name,
            "setting": field.name,
            "type": field.kind,
            "default": shown_default(field.default),
            "commands": list(group.flows),
            "meaning": field.text,
        }
        for name, group in GROUPS.items()
        if flow is None or flow in group.flows
        for field in setting_fields(name).values()
    ]


def show_settings(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print two lines per field, below the heading of its group."""
    for name in dict.fromkeys(row["group"] for row in rows):
        say(console, f"{name}: {GROUPS[name].text} ({', '.join(GROUPS[name].flows)})")
        for row in rows:
            if row["group"] == name:
                say(console, f"  {row['setting']}={row['default']}  ({row['type']})")
                say(console, f"      {row['meaning']}")
