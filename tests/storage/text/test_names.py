"""Which text from outside is taken, and how it is shown."""

import pytest

from storage.text.names import is_text, visible

UNSAFE = ["\x00", "\n", "\x1b", "\x7f", "\x85", "\x9b", "\u061c", "\u200e", "\u200f", "\u2028", "\u2029"]
UNSAFE += ["\u202a", "\u202e", "\u2066", "\u2069", "\udc80"]
NAMES = ["Bob", "José", "Jose\u0301", "नरेंद्र_मोदी", "王菲", "Ünal [b]", "O'Neil", "م\u200cحمد", "👩\u200d🎤"]


@pytest.mark.attack(15)
@pytest.mark.parametrize("letter", UNSAFE, ids=ascii)
def test_control_and_bidi_characters_are_refused_and_shown_escaped(letter: str) -> None:
    assert not is_text(f"A{letter}B")
    assert visible(f"A{letter}B") == f"A{ascii(letter)[1:-1]}B"


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_are_taken_and_shown_as_they_are(name: str) -> None:
    assert is_text(name)
    assert visible(name) == name
