"""Terminal output that escapes outside text: it contains no markup and cannot move the cursor.

Names of people, URLs, paths and notes come from link files, manifests and other machines. All command output goes
through this module: `[/b]` in a name is shown verbatim, and U+009B or a bidi override as `\\x9b` or `\\u202e`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.telemetry.fitting import wrapped
from storage.text.names import visible

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


def say_items(console: Console, head: str, items: Sequence[str], *, indent: int = 9, between: str = ", ") -> None:
    """Print items behind a bold word, or blanks, wrapped at the console's width; no item is broken in the middle."""
    shown = [visible(item) for item in items]
    for place, line in enumerate(wrapped(shown, console.width - indent, between=between)):
        is_first = head and not place
        say(console, f"[bold]{head}[/]{' ' * (indent - len(head))}{line}" if is_first else " " * indent + line)


def say_facts(console: Console, facts: Mapping[str, Sequence[str] | str]) -> None:
    """Print each fact behind its name, wrapped at the console's width: a list between its items, text at blanks."""
    indent = max((len(name) for name in facts), default=0) + 2
    for name, fact in facts.items():
        items, between = (visible(fact).split(), " ") if isinstance(fact, str) else (fact, ", ")
        say_items(console, name, items, indent=indent, between=between)
