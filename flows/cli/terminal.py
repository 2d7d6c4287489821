"""Terminal output that escapes outside text: it contains no markup and cannot move the cursor.

Names of people, URLs, paths and notes come from link files, manifests and other machines. All command output goes
through this module: `[/b]` in a name is shown verbatim, and U+009B or a bidi override as `\\x9b` or `\\u202e`.
"""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.names import visible

# The bold word that a line may begin with: a stage or a kind of finding, never text from outside.
_HEAD = re.compile(r"\[bold\]([a-z_ ]{1,24})\[/\]")


def say(console: Console, text: str) -> None:
    """Print one line. A `[bold]word[/]` at its beginning is bold; everything else is shown verbatim."""
    head = _HEAD.match(text)
    line = Text(head[1] if head else "", style="bold")
    line.append(visible(text[head.end() :] if head else text), style="not bold")
    console.print(line, soft_wrap=True)


def cell(text: object) -> Text:
    """The text of one cell of a table."""
    return Text(visible(str(text)), overflow="fold")


def new_table(title: str = "", *, show_header: bool = True) -> Table:
    """A table without columns."""
    heading = Text(visible(title), style="italic") if title else None
    return Table(title=heading, title_justify="left", show_header=show_header)


def add_row(table: Table, *cells: object) -> None:
    """Add a row of text to a table."""
    table.add_row(*map(cell, cells))


def say_json(console: Console, value: Any) -> None:
    """Pretty-print a JSON object."""
    console.print_json(data=_visible(value))


def _visible(value: Any) -> Any:
    match value:
        case str():
            return visible(value)
        case dict():
            return {visible(str(name)): _visible(one) for name, one in value.items()}
        case list() | tuple():
            return [_visible(one) for one in value]
    return value
