"""The form of every name that an index, a manifest or a list brings, and how such text is shown.

A lake or a model may come from somebody else, and names in it become paths. Each is checked against its form before it
is used, so that none leads out of its folder. Text for a terminal or a page is shown with its control characters
escaped, so that it cannot move the cursor, turn the line around or pretend to be another name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from storage.errors import LakeError

# C0, DEL and C1 controls; marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode annex 9);
# separators of lines and paragraphs; and bytes that are no UTF-8, as Python spells them (PEP 383).
UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
NOT_TEXT = re.compile(f"[{UNSAFE}]")


def is_text(name: str) -> bool:
    """Whether a name can be shown as it is: it has no control or bidi character, and all of it is UTF-8."""
    return not NOT_TEXT.search(name)


def visible(text: str) -> str:
    """`text` with its control and bidi characters as Python escapes them: `\\x9b` for U+009B. Others stay."""
    return NOT_TEXT.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


@dataclass(frozen=True)
class Form:
    """What a name must look like.

    Attributes:
        pattern: matches a name as a whole; written so that Python and RE2, which Arrow uses, read it alike.
        words: the same, for people.
    """

    pattern: str
    words: str

    def fits(self, value: object) -> bool:
        """Whether a value is such a name."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value, re.ASCII) is not None

    def checked(self, value: object, what: str, where: str) -> str:
        """`value` itself, if it is such a name.

        Args:
            what: how an error calls the value, such as "shard".
            where: the file that holds it.

        Raises:
            LakeError: it is not.
        """
        if not isinstance(value, str) or not self.fits(value):
            raise bad_value(where, what, value, self.words)
        return value


def bad_value(where: str, what: str, value: object, words: str) -> LakeError:
    """The error for a value of the wrong form or type: file, value, what it must be, and what to do."""
    return LakeError(
        f"{where}: {_short(visible(what))} is {_short(ascii(value))} and must be {words}: run `facemill check`"
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 80
_PLAIN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_HEX16 = "[0-9a-f]{16}"

# Datasets, models, versions, sources, crop methods, and the files of a version: what can be a folder or a file.
NAME = Form(_PLAIN, "1 to 100 letters, digits, '_', '.' or '-' that start with a letter or digit")
# One source, or several (`storage.text.source_names`).
SOURCES = Form(rf"{_PLAIN}(\+{_PLAIN})*", "one name of a source, or several joined by '+'")
VERSIONED = Form(f"{_PLAIN}@{_PLAIN}", "<name>@<version>")
SPLIT = Form("train|val|test", "train, val or test")
SAMPLE = Form(_HEX16, "16 hex digits")
DIGEST = Form(_HEX16, "16 hex digits")
# A shard that versions share; and of versions of layout 1 `<split>-<n>.tar`, and what replaces it after a redaction.
SHARED_SHARD = Form(rf"(train|val|test)-{_HEX16}", "<split>-<16 hex digits>")
DATASET_SHARD = Form(
    rf"(shards/{SHARED_SHARD.pattern}|(train|val|test)-[0-9]{{1,9}}(-r[0-9]{{1,9}})?)\.tar",
    "shards/<split>-<digest>.tar, <split>-<n>.tar or <split>-<n>-r<k>.tar",
)
DATASET_MEMBER = Form(rf"{_HEX16}\.(jpg|json)", "<sample>.jpg or <sample>.json")
# A shard of images and of what is computed from it: unit, number, writer.
STEM = Form("[0-9]{1,9}(-[0-9a-z]{1,32}){1,2}", "<unit>-<n>-<writer>")
FORMAT = Form("[A-Za-z0-9]{1,16}", "the name of a picture format")
# Outcomes, reasons, stages: a newer facemill may know more of them.
WORD = Form("[a-z0-9_]{1,64}", "a word of a-z, 0-9 and '_'")
