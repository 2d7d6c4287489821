from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import UsageError
from tasks.maintenance.takedown.forget import TakedownRequest, parse_digest, read_request

DIGEST = "ab" * 32


def test_a_file_names_urls_people_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# of May\n\nurl http://a.example/é 1.jpg\nidentity Ada Aal\n digest {DIGEST}\n")
    assert read_request(path) == TakedownRequest(("http://a.example/é 1.jpg",), ("Ada Aal",), (bytes.fromhex(DIGEST),))


@pytest.mark.case(15)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_the_file_may_be_in_any_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("identity Zoë Aal\r\nidentity Bo\r\n".encode(encoding))
    assert read_request(path).names == ("Zoë Aal", "Bo")


@pytest.mark.parametrize("line", ["Ada_Aal", "name Ada_Aal", "url", "digest 12"])
def test_a_line_that_names_nothing_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"identity Bo\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2|64 hex digits"):
        read_request(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_request(tmp_path / "none.txt")


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "ab" * 33])
def test_a_digest_has_64_hex_digits(text: str) -> None:
    assert parse_digest(DIGEST) == bytes.fromhex(DIGEST)
    with pytest.raises(UsageError, match="64 hex digits"):
        parse_digest(text)
