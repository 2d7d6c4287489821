"""`facemill links`: show the contents of a list and the recipe to read it; no request is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import JsonOption, RecipeOption, follow, print_result, reporting
from flows.cli.terminal import add_row, new_table, say
from storage.errors import UsageError
from storage.text.names import NAME, visible
from tasks.links.link_location import is_url
from tasks.links.list_survey import first_rejected, survey, warnings
from tasks.links.recipes.guess import guess_recipe
from tasks.links.recipes.recipe import Recipe, open_recipe
from tasks.links.sources import SOURCES
from tasks.links.sources.table import ReadList, read_list


@reporting
def links(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A list of pictures, or a folder with its files.")],
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a list of pictures and print its contents. Sends no requests, and needs no lake."""
    if is_url(file):
        raise UsageError(f"{file} is a URL: download the list first; `facemill links` sends no requests")
    path = Path(file)
    if not path.exists():
        raise UsageError(f"{file}: no such file or folder")
    doubts: tuple[str, ...] = ()
    if recipe is not None:
        chosen = open_recipe(recipe)
    else:
        guess = guess_recipe(path, file)
        chosen, doubts = guess.recipe, guess.doubts
    found = read_list(chosen, path, None, file)
    for doubt in doubts:
        typer.echo(f"not sure {visible(doubt)}", err=True)
    for warning in warnings(chosen, found):
        typer.echo(f"warning  {visible(warning)}", err=True)
    print_result(survey(chosen, found), as_json, lambda console, result: _show(console, result, chosen, found))
    follow("links", {"source": _source_name(path), "links": file, "recipe": recipe}, as_json=as_json)


def _source_name(path: Path) -> str:
    """The name of the list's file as a source, or `mine` where that is none."""
    name = path.name.partition(".")[0]
    return name if NAME.fits(name) and name not in SOURCES else "mine"


def _show(console: Console, result: dict[str, Any], recipe: Recipe, found: ReadList) -> None:
    for line in recipe.as_toml().splitlines():
        say(console, line)
    table = new_table()
    for name in ("line", "identity", "url" if recipe.url is not None else "file", "box", "digest"):
        table.add_column(name, overflow="fold")
    for row in result["examples"]:
        box = "" if row["box_xyxy"] is None else ", ".join(f"{value:g}" for value in row["box_xyxy"])
        of = "" if row["box_of"] is None else " of " + " x ".join(f"{value:g}" for value in row["box_of"])
        add_row(table, row["line"], row["identity"] or "", row["url"], box + of, (row["digest"] or "")[:12])
    console.print(table)
    say(
        console,
        f"[bold]rows[/]     {result['rows']:,}: {result['good']:,} good, {result['rows'] - result['good']:,} rejected",
    )
    for reason, (number, detail) in sorted(first_rejected(found).items()):
        say(console, f"[bold]rejected[/] {reason} {result['rejected'][reason]:,}, the first in line {number}: {detail}")
    people = f"{result['identities']:,} people" if recipe.identity is not None else "no names"
    say(
        console,
        f"[bold]holds[/]    {people}; {result['distinct_urls']:,} distinct pictures; {result['with_box']:,} lines "
        f"with a box, {result['with_digest']:,} with a digest",
    )
