"""Recipes: read strictly, with one clear line for what is wrong, and written so that they read the same."""

from pathlib import Path

import pytest

from storage.errors import SourceError
from tasks.links.recipes.recipe import Recipe, open_recipe, parse_recipe, preset_names

PRESETS = [
    "celeba", "facescrub", "huggingface", "imagefolder", "imdb-face", "img2dataset", "insightface-lst", "laion",
    "pubfig", "urls", "vggface2-boxes",
]  # fmt: skip


def test_the_presets_come_along() -> None:
    assert preset_names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_written_as_toml_reads_the_same(name: str) -> None:
    recipe = open_recipe(name)
    assert parse_recipe(recipe.as_toml(), name) == recipe
    assert Recipe.model_validate(recipe.as_json()) == recipe


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("url = ", "is not valid TOML"),
        ("", "either url"),
        ('url = "u"\nfile = "{f}"', "either url"),
        ('url = "u"\nuri = "v"', "no field uri; it has files, format, columns"),
        ("url = 1.5", "url is 1.5 and must be the column"),
        ("url = 0", "at least 1"),
        ('url = "u"\nformat = "xls"', "tsv"),
        ('url = "u"\nbox = ["a", "b"]', "box has 2 columns"),
        ('url = "u"\nbox_of = ["a", "b", "c"]', "box_of has 3 columns"),
        ('url = "u"\nidentity = "folder"', "requires file"),
        ('url = "u"\ncolumns = ["u", "u"]', "twice"),
        ('url = "u"\nfiles = "../*.csv"', "lead out"),
        ('file = "{"', "Single '{'"),
        ('file = "{a!r}"', "braces that are no"),
        ('url = ["u"]', "url is"),
        ('url = "u"\nimage = "i"', "either url"),
        ('file = "{f}"\nimage = "i"', "either url"),
        ('url = "u"\nformat = "tar"', "requires image"),
        ('image = "i"\nformat = "csv"', "csv does not contain pictures"),
        ('image = "i"\nidentity = "folder"', 'format = "tar"'),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(SourceError) as error:
        parse_recipe(text, "mine.toml")
    assert str(error.value).startswith("mine.toml")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_is_opened_by_its_path_or_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('url = "u"\n')
    assert open_recipe(str(mine)).url == "u"
    with pytest.raises(SourceError, match="facescrub"):
        open_recipe(str(tmp_path / "no.toml"))


def test_a_file_that_is_too_large_for_a_recipe_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("#" * 100_001)
    with pytest.raises(SourceError, match="dozen lines"):
        open_recipe(str(tmp_path / "list.csv"))
