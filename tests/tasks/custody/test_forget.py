from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import UsageError
from tasks.custody.forget import Asked, parse_digest, read_asked

DIGEST = "ab" * 32


def test_a_file_names_urls_people_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# of May\n\nurl http://a.example/é 1.jpg\nidentity Ada Aal\n digest {DIGEST}\n")
    assert read_asked(path) == Asked(("http://a.example/é 1.jpg",), ("Ada Aal",), (bytes.fromhex(DIGEST),))


@pytest.mark.parametrize("line", ["Ada_Aal", "name Ada_Aal", "url", "digest 12"])
def test_a_line_that_names_nothing_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"identity Bo\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2|64 hex digits"):
        read_asked(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_asked(tmp_path / "none.txt")


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "ab" * 33])
def test_a_digest_has_64_hex_digits(text: str) -> None:
    assert parse_digest(DIGEST) == bytes.fromhex(DIGEST)
    with pytest.raises(UsageError, match="64 hex digits"):
        parse_digest(text)
