"""`facemill settings`: every setting, its value, and where that comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console

from flows.cli.options import JsonOption, print_result, reporting
from flows.cli.terminal import say
from flows.configuration.setting_files import settings_files
from flows.configuration.setting_groups import (
    FLOWS,
    GROUPS,
    setting_fields,
    settings_of_files,
    shown_default,
    type_words,
)
from flows.configuration.setting_sources import DEFAULT, origin, set_origin, variable
from flows.configuration.settings import Settings, load_settings
from storage.errors import UsageError

# The group of the settings of this machine, which are no fields of --set.
_MACHINE = "machine"


@reporting
def settings(
    command: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="Only the fields of this command's --set. Default: all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List all settings, their values and where those come from. Shows type, range and default of each."""
    if command is not None and command not in FLOWS:
        raise UsageError(f"{command} has no --set; these have: {', '.join(FLOWS)}")
    rows = [*([] if command else machine_rows()), *setting_rows(command)]
    print_result(rows, as_json, show_settings)


def machine_rows() -> list[dict[str, Any]]:
    """Every setting of this machine; the values of secrets are not shown."""
    now = load_settings()
    return [
        {
            "group": _MACHINE,
            "setting": name,
            "type": type_words(field.annotation),
            "default": _shown(field.get_default(call_default_factory=True)),
            "value": _shown(getattr(now, name)),
            "from": origin(name),
            "variable": variable(name),
            "commands": [],
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
        if name != "set"
    ]


def setting_rows(flow: str | None = None) -> list[dict[str, Any]]:
    """Every field of --set, or those of one flow."""
    values = {name: one for each in FLOWS for name, one in settings_of_files(each).items()}
    return [
        {
            "group": name,
            "setting": field.name,
            "type": field.kind,
            "default": shown_default(field.default),
            "value": shown_default(values.get(field.name, field.default)),
            "from": set_origin(field.name),
            "commands": list(group.flows),
            "meaning": field.text,
        }
        for name, group in GROUPS.items()
        if flow is None or flow in group.flows
        for field in setting_fields(name).values()
    ]


def show_settings(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the settings files, and two lines per setting, below the heading of its group."""
    for file in settings_files():
        say(console, f"[bold]file[/]     {file}" + ("" if file.path.exists() else " (none)"))
    for name in dict.fromkeys(row["group"] for row in rows):
        say(console, _heading(name))
        for row in rows:
            if row["group"] == name:
                set_by = "" if row["from"] == DEFAULT else f"; default {row['default'] or 'none'}, set by {row['from']}"
                say(console, f"  {row['setting']}={row['value']}  ({row['type']}{set_by})")
                say(console, f"      {row['meaning']}")


def _heading(group: str) -> str:
    if group == _MACHINE:
        return "machine: FACEMILL_<NAME> in the environment, or a line of a settings file"
    return f"{group}: {GROUPS[group].text} ({', '.join(GROUPS[group].flows)})"


def _shown(value: Any) -> str:
    """A value as text; a secret as asterisks."""
    return str(value) if isinstance(value, SecretStr) else shown_default(value)
