"""A recipe: a dozen lines of TOML with the meaning of each column of a list.

    identity = "name"
    url = "image_url"
    box = ["x", "y", "w", "h"]
    box_is = "xywh"

A column is given by its name, or by its number from 1.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from storage.errors import SourceError
from storage.text.encodings import read_text

Column = str | int
BoxIs = Literal["xyxy", "xywh", "xxyy", "cxcywh"]
FormatName = Literal["csv", "tsv", "blanks", "lines", "jsonl", "json", "parquet", "tar"]
PRESETS = Path(__file__).with_name("presets")
_MAX_RECIPE_BYTES = 100_000


class Recipe(BaseModel):
    """The meaning of each column of a list. One of `url`, `file` and `image` is required; all others are optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    files: str | None = Field(
        None,
        min_length=1,
        description="the pattern of the files of the list in a folder, such as `faces_*.csv`; `**/` includes "
        "subfolders",
    )
    format: FormatName | None = Field(
        None,
        description="`csv`, `tsv`, `blanks` (columns separated by blanks), `lines` (one cell per line), "
        "`jsonl`, `json`, `parquet` or `tar` (WebDataset: the members with one key, such as `key.jpg` and "
        "`key.json`, are "
        "one row). Default: detected from the first lines. All but `tar` may be compressed with gzip or zstd",
    )
    columns: list[str] | None = Field(
        None, min_length=1, description="the names of the columns, for files without a header; a header with these "
        "names is skipped",
    )  # fmt: skip
    identity: Column | None = Field(
        None,
        description='the column that names the person; or `"folder"`, the folder of the picture; or `"file"`, the '
        "name of the list file. Default: the list has no names",
    )
    url: Column | None = Field(None, description="the column of the URLs of pictures")
    file: str | None = Field(
        None,
        min_length=1,
        description="instead of `url`: the path of the picture relative to the folder of the list, composed of "
        "columns, "
        "such as `{user_id}/{face_id}.jpg`",
    )
    image: Column | None = Field(
        None,
        description="instead of `url`: the location of the bytes of the picture. In Parquet: the column, binary or a "
        'struct with `bytes`. In tars: the extension of the member, such as `jpg` or `jpg;png`, or `"*"` for any '
        "extension of pictures",
    )
    line: Column | None = Field(
        None,
        description="the column of a whole number that is unique among the lines of a person. Default: the number of "
        "the "
        "line in the file; a line inserted in the middle then changes the numbers of all lines after it",
    )
    box: Column | list[Column] | None = Field(
        None, description="the box of the face: one column with four numbers per cell, or a list of four columns"
    )
    box_is: BoxIs = Field(
        "xyxy",
        description="the order of the four numbers: `xyxy` (left, top, right, bottom), `xywh` (left, top, width, "
        "height), "
        "`xxyy` (left, right, top, bottom) or `cxcywh` (centre, width, height)",
    )
    box_of: Literal["pixels", "relative"] | list[Column] = Field(
        "pixels",
        description='the unit of the box: `"pixels"` of the picture as downloaded; `"relative"`, from 0 to 1; or the '
        "columns with the size of the picture that the box refers to: two columns, or one with both numbers",
    )
    size_is: Literal["wh", "hw"] = Field(
        "wh", description="the order of that size: `wh` (width, height) or `hw` (height, width)"
    )
    digest: Column | None = Field(
        None, description="the column of the MD5, SHA-1, SHA-256 or SHA-512 of the bytes, in hex or base64"
    )
    keep: list[Column] = Field([], description="more columns to store with each line, as text")
    terms: str = Field(
        "The list names no terms. The pictures belong to others, and the faces in them are biometric data of real "
        "people.",
        description="the permitted use of the list and its pictures; copied to the manifest of every dataset",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if [self.url, self.file, self.image].count(None) != 2:
            raise ValueError(
                "give either url, a column of URLs, or file, the path of a picture, or image, the bytes of pictures"
            )
        if self.identity == "folder" and self.file is None and self.format != "tar":
            raise ValueError('identity = "folder" requires file or format = "tar", since URLs have no folder')
        if self.format == "tar" and self.image is None:
            raise ValueError('format = "tar" requires image, the extension of the pictures in the tar')
        if self.image is not None and self.format not in (None, "parquet", "tar"):
            raise ValueError(
                f'image requires format = "parquet" or "tar", since {self.format} does not contain pictures'
            )
        if isinstance(self.box, list) and len(self.box) != 4:
            raise ValueError(f"box has {len(self.box)} columns: give one, or four")
        if isinstance(self.box_of, list) and len(self.box_of) not in (1, 2):
            raise ValueError(f"box_of has {len(self.box_of)} columns: give those of a width and a height, or one")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError("columns contains a name twice: each name must be unique")
        if self.files and (self.files.startswith("/") or ".." in self.files.split("/")):
            raise ValueError("files must not lead out of the folder of the list")
        if any(isinstance(one, int) and one < 1 for one in self.used()):
            raise ValueError("the number of a column must be at least 1")
        return self

    def path_parts(self) -> list[tuple[str, str | None]]:
        """`file` as pairs of text and the column after it.

        Raises:
            ValueError: braces are unbalanced, or contain something other than a column.
        """
        parts = list(Formatter().parse(self.file or ""))
        if any(name is not None and (not name or spec or change) for _, name, spec, change in parts):
            raise ValueError("file contains braces that are not a {column}")
        return [(text, name) for text, name, _, _ in parts]

    def used(self) -> list[Column]:
        """All columns that are read, each once."""
        box = self.box if isinstance(self.box, list) else [self.box]
        size = self.box_of if isinstance(self.box_of, list) else []
        named = None if self.identity in ("folder", "file") else self.identity
        path = [name for _, name in self.path_parts()]
        asked = [named, self.url, *path, self.line, *box, *size, self.digest, *self.keep]
        return list(dict.fromkeys(one for one in asked if one is not None))

    def as_toml(self) -> str:
        """The recipe as TOML, without default values."""
        fields = self.model_dump(exclude_defaults=True)
        return "".join(f"{name} = {_toml(value)}\n" for name, value in fields.items())

    def as_json(self) -> dict[str, Any]:
        """The recipe as stored in a lake."""
        return self.model_dump(exclude_defaults=True)


def preset_names() -> list[str]:
    """The names of the preset recipes."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def open_recipe(given: str) -> Recipe:
    """A recipe by the name of a preset, or from a TOML file.

    Raises:
        SourceError: there is neither, or it is not a recipe.
    """
    if given in preset_names():
        return parse_recipe(read_text(PRESETS / f"{given}.toml"), given)
    path = Path(given)
    if not path.is_file():
        raise SourceError(f"--recipe {given} is not a file; preset recipes are {_presets()}")
    if path.stat().st_size > _MAX_RECIPE_BYTES:
        raise SourceError(f"{given} has over {_MAX_RECIPE_BYTES:,} bytes: a recipe is a dozen lines of TOML")
    return parse_recipe(read_text(path), given)


def parse_recipe(text: str, where: str) -> Recipe:
    """A recipe from TOML.

    Raises:
        SourceError: it is not a recipe; the message names the first invalid field and its allowed values.
    """
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{where} is not valid TOML ({error}): see docs/guides/own-list.md") from error
    return checked_recipe(fields, where)


def checked_recipe(fields: dict[str, Any], where: str) -> Recipe:
    """A recipe from its fields. Raises as `parse_recipe`."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise SourceError(f"{where}: {_wrong(name, first)}: see docs/guides/own-list.md") from error


def _wrong(name: str, error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"a recipe has no field {name}; it has {', '.join(Recipe.model_fields)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    found = json.dumps(error["input"], default=str)[:80]
    meant = re.sub(r"`([^`]*)`", r"\1", str(Recipe.model_fields[name].description)) if name else "a table"
    return f"{name} is {found} and must be {meant}"


def _presets() -> str:
    return ", ".join(preset_names())


def _toml(value: Any) -> str:
    """A text, a number or a list of them. JSON's escapes are TOML's, except for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
