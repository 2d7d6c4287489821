"""Generates docs/reference.md from the code: commands with their options, recipe fields, and settings.

    python docs/make_reference.py

A test compares the file with the output, so that a changed option requires a changed page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from flows.cli.app import app
from flows.settings import Settings
from tasks.links.recipes.recipe import Recipe, preset_names

PAGE = Path(__file__).with_name("reference.md")
_HEAD = """# Reference

Generated from the code by `python docs/make_reference.py`. `facemill COMMAND --help` prints the same.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C. The error message gives the reason.
"""


def reference() -> str:
    """The reference as Markdown."""
    commands = "\n".join(_command_section(path, command) for path, command in _commands(typer.main.get_command(app)))
    return f"{_HEAD}\n## Commands\n\n{commands}\n{_recipes_section()}\n{_settings_section()}"


def _commands(command: Any, path: str = "facemill") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")
    if not children:
        yield path, command


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


def _recipes_section() -> str:
    rows = [
        f"| `{name}` | {_setting_default(None if name == 'terms' else field.get_default(call_default_factory=True))} | "
        f"{_cell(field.description or '')} |"
        for name, field in Recipe.model_fields.items()
    ]
    head = "What each column of a list is, in TOML; [sources.md](sources.md) shows how to write one.\n"
    along = ", ".join(f"`{name}`" for name in preset_names())
    table = ["| field | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(["## Recipes\n", head, *table, "", f"These come along: {along}.", ""])


def _settings_section() -> str:
    rows = [
        f"| `FACEMILL_{name.upper()}` | {_setting_default(field.get_default())} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    head = "Options define the task; environment variables configure the machine.\n"
    return "\n".join(["## Settings\n", head, "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _setting_default(value: Any) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain is PydanticUndefined or plain in ("", None):
        return ""
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference())
