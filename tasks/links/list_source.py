"""Resolve a source name: a source with its own reader, or a list with a given, stored or guessed recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from storage.errors import UsageError
from storage.files.lake import Lake
from tasks.links.link_location import is_url
from tasks.links.recipes.guess import guess_recipe
from tasks.links.recipes.recipe import Recipe, open_recipe, preset_names
from tasks.links.sources import SOURCES, kept_source
from tasks.links.sources.source import Source
from tasks.links.sources.table import source_of


def open_source(lake: Lake, name: str, links: str | None, recipe: str | None) -> Source:
    """The source of a run.

    A list is read by the given recipe; else by the one stored in the lake, or the preset of its name; else, if the list
    is on this machine, by a guess without doubts.

    Args:
        links: the location of the list; None for that of the last run.
        recipe: the name of a preset, or a TOML file.

    Raises:
        UsageError: the source or recipe is unknown, or the guess is doubtful.
    """
    if name in SOURCES:
        if recipe is not None:
            raise UsageError(f"the source {name} is not read by a recipe: give the list another name with --source")
        return SOURCES[name]
    kept = kept_source(lake, name)
    if recipe is not None:
        source = replace(source_of(name, open_recipe(recipe)), location=kept.location if kept else None)
    elif kept is not None:
        source = kept
    elif name in preset_names():
        source = source_of(name, open_recipe(name))
    else:
        source = source_of(name, _guessed(name, links))
    return source


def _guessed(name: str, links: str | None) -> Recipe:
    if links is None:
        raise UsageError(
            f"the source {name!r} is unknown; known sources: {', '.join(SOURCES)}. Give the location of another list "
            f"with "
            f"--links; preset recipes: {', '.join(preset_names())}"
        )
    if is_url(links):
        raise UsageError(f"the recipe of a URL is not guessed ({links}): give --recipe, or download the list first")
    guess = guess_recipe(Path(links), links)
    if guess.doubts:
        raise UsageError(
            f"{links}: {'; '.join(guess.doubts)}: run `facemill links {links}`, check and save the recipe that it "
            "prints, and give it with --recipe"
        )
    return guess.recipe
