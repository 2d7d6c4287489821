"""Generates docs/reference.md from the code: commands with their options, fields of --set, recipe fields, settings, and
reasons.

    python docs/make_reference.py

A test compares the file with the output, so that a changed option requires a changed page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from flows.cli.app import all_commands
from flows.cli.setting_commands import setting_rows
from flows.configuration.settings import Settings
from storage.reason_meanings import reason_meanings
from storage.records import Reason
from tasks.links.recipes.recipe import Recipe, preset_names

PAGE = Path(__file__).with_name("reference.md")
_HEAD = """# Reference

Generated from the code by `python docs/make_reference.py`. `facemill COMMAND --help` prints the same.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C. The error message gives the reason.
"""
_PREFECT = """Prefect has variables of its own, above all `PREFECT_HOME` and `PREFECT_API_URL`. Without
`PREFECT_API_URL` a command runs without a server and keeps no history. With it, the run is shown on that server, which
needs `PREFECT_API_AUTH_STRING`. Proxy variables apply to neither
([Proxies](guides/service.md#proxies)).
"""
_REASONS = """## Reasons

The closed list of reasons for which a record stops: `Reason` in `storage/records.py`. *retry* says whether a failed
link is requested again:

- *never*: it would fail again.
- *soon*: once more in the same round, after a second, or up to 20 if the host's Retry-After says so; then in the next
  round, then after an hour, a day and a week.
- *later*: after an hour, then a day, then a week.

A link whose waiting time is over is due: `facemill status` counts those, and `facemill retry` requests them. A host's
Retry-After can only make the wait longer.
"""


def reference() -> str:
    """The reference as Markdown."""
    found = list(all_commands())
    commands = "\n".join(_command_section(path, command) for path, _, command in found)
    sections = [
        f"{_HEAD}\n## Commands\n\n{_overview(found)}\n\n{commands}",
        _fields_section(),
        _recipes_section(),
        _settings_section(),
        _reasons_section(),
    ]
    return "\n".join(sections)


def _overview(commands: list[tuple[str, str, Any]]) -> str:
    """A table of the commands, each with the first sentence of its help."""
    rows = [
        f"| [`{path}`](#{path.replace(' ', '-')}) | {_cell(sentence.rstrip('.'))} |" for path, sentence, _ in commands
    ]
    return "\n".join(["| command | does |", "|---|---|", *rows])


def _command_section(path: str, command: Any) -> str:
    rows = [_parameter_row(one) for one in command.params if not getattr(one, "hidden", False)]
    head = ["| option | default | meaning |", "|---|---|---|"]
    return "\n".join([f"### {path}\n", " ".join((command.help or "").split()), "", *(head if rows else []), *rows, ""])


def _parameter_row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{(parameter.name or '').upper()}`"
    default = parameter.default
    told = "" if default is None or default is False or callable(default) or default in ((), []) else f"`{default}`"
    return f"| {names} | {told} | {_cell(getattr(parameter, 'help', None) or '')} |"


def _fields_section() -> str:
    rows = [
        f"| `{row['setting']}` | {_cell(row['type'])} | `{row['default']}` | {', '.join(row['commands'])} | "
        f"{_cell(row['meaning'])} |"
        for row in setting_rows()
    ]
    head = (
        "Fields of `--set GROUP.FIELD=VALUE`, of the table `[set]` of a [settings file](guides/settings.md), and of "
        "the parameter `settings` of deployments. A tuple is written with commas, a switch as true or false. "
        "`FACEMILL_` variables of the same names, if set, give the defaults of `fetch` and of `detect.min_face_px`.\n"
    )
    table = ["| field | type | default | commands | meaning |", "|---|---|---|---|---|", *rows]
    return "\n".join(["## Fields of --set\n", head, *table, ""])


def _recipes_section() -> str:
    rows = [
        f"| `{name}` | {_setting_default(None if name == 'terms' else field.get_default(call_default_factory=True))} | "
        f"{_cell(field.description or '')} |"
        for name, field in Recipe.model_fields.items()
    ]
    head = "What each column of a list is, in TOML; [A list of your own](guides/own-list.md) shows how to write one.\n"
    along = ", ".join(f"`{name}`" for name in preset_names())
    table = ["| field | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(["## Recipes\n", head, *table, "", f"Preset recipes: {along}.", ""])


def _settings_section() -> str:
    rows = [
        f"| `FACEMILL_{name.upper()}` | {_setting_default(field.get_default())} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    head = (
        "Options define the task; environment variables and [settings files](guides/settings.md) configure the "
        "machine. In a file, names are in lower case and without FACEMILL_.\n"
    )
    table = ["| variable | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(["## Settings\n", head, *table, "", _PREFECT])


def _reasons_section() -> str:
    rows = []
    for reason in Reason:
        stage, meaning = reason_meanings()[reason.value]
        rows.append(f"| `{reason.value}` | {stage} | {_cell(meaning)} | {reason.retry.value} |")
    head = ["| reason | stage | meaning | retry |", "|---|---|---|---|"]
    return "\n".join([_REASONS, *head, *rows, ""])


def _setting_default(value: Any) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain is PydanticUndefined or plain in ("", None):
        return ""
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference())
