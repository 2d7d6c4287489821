"""The form of every name that an index, a manifest or a list brings, and how such text is shown.

A lake or a model may come from somebody else, and names in it become paths. Each is checked against its form before it
is used, so that none leads out of its folder. Text for a terminal or a page is shown with its control characters
escaped, so that it cannot move the cursor, turn the line around or pretend to be another name.
"""

from __future__ import annotations

import re

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
