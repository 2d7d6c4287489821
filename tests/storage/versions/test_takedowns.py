from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from unicodedata import normalize

import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import Reason, Takedown, TakedownKind, bytes_digest, identity_key, url_key
from storage.tables.parquet import write_table
from storage.versions.takedowns import Forgotten, read_takedowns, record
from tasks.dataset.find_duplicates import compare_pictures, read_verdicts
from tasks.dataset.source_tables import read_faces
from tasks.faces.detect_shard import accepted_images
from tasks.fetch.ledger import pending_due, read_ledger
from tasks.fetch.takedown_filter import GuardedTransport
from tasks.links.plan import plan
from tasks.web.responses import FetchResult
from tests.tasks.builders import BOX, NOW, attempt, attempts, face, faces
from tests.tasks.image_shards import SOURCE, link_lines

A, B, C, D = (f"http://{name}.example/1" for name in "abcd")
LINES = link_lines(
    ("Ada_Aal", 1, A, BOX), ("Ada_Aal", 2, B, BOX), ("Bo", 1, B, BOX), ("Bo", 2, C, BOX), ("Cy", 1, D, BOX)
)
STEM = "0000-0000-aaaaaa"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three people; D serves the very bytes that C does."""
    lake = Lake(tmp_path)
    write_table(lake, lake.links(SOURCE, "lines.parquet"), LINES, stamp="one")
    write_table(lake, lake.plan(SOURCE), plan(LINES))
    rows = [
        attempt(url, picture="p" if url in (C, D) else None, shard=STEM, offset=0, length=1) for url in (A, B, C, D)
    ]
    write_table(lake, f"{lake.images(SOURCE, STEM)}.parquet", attempts(*rows))
    found = [face(row["identity"], row["line"], row["url"]) for row in LINES.to_pylist()]
    write_table(lake, f"{lake.faces('mtcnn', SOURCE, STEM)}.parquet", faces(*found))
    return lake


def forget(lake: Lake, kind: TakedownKind, target: bytes, source: str | None = None) -> None:
    record(lake, [Takedown(kind, target, source, datetime.now(UTC), "")])


def outcomes(lake: Lake) -> dict[bytes, str]:
    rows = read_ledger(lake, SOURCE, ["key", "outcome", "reason"]).to_pylist()
    return {row["key"]: row["reason"] or row["outcome"] for row in rows}


def expected(*taken: str) -> dict[bytes, str]:
    return {url_key(url): "taken_down" if url in taken else "accepted" for url in (A, B, C, D)}


def test_a_url_covers_its_link_alone(lake):
    forget(lake, TakedownKind.URL, url_key(A))
    assert outcomes(lake) == expected(A)


def test_a_name_covers_every_url_of_its_lines_whoever_else_names_it_and_however_it_is_written(lake):
    forget(lake, TakedownKind.IDENTITY, identity_key("ada aal"))
    assert outcomes(lake) == expected(A, B)


@pytest.mark.parametrize(("asked", "listed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_a_name_is_the_same_with_composed_and_decomposed_letters(lake, asked, listed):
    lines = link_lines((normalize(listed, "Zoë_Ås"), 1, D, BOX))
    write_table(lake, lake.links(SOURCE, "lines.parquet"), lines, stamp="two")
    forget(lake, TakedownKind.IDENTITY, identity_key(normalize(asked, "zoë ås")))
    assert outcomes(lake) == expected(D)


def test_a_takedown_of_an_earlier_release_that_kept_letters_as_they_were_given_still_counts(lake):
    name = normalize("NFD", "zoë_ås")
    lines = link_lines((normalize("NFC", name), 1, C, BOX), (name, 1, D, BOX))
    write_table(lake, lake.links(SOURCE, "lines.parquet"), lines, stamp="two")
    forget(lake, TakedownKind.IDENTITY, blake2b(name.encode(), digest_size=16).digest())
    assert outcomes(lake) == expected(C, D)


def test_a_name_in_one_source_leaves_the_others(lake):
    forget(lake, TakedownKind.IDENTITY, identity_key("Ada_Aal"), source="vggface2")
    assert outcomes(lake) == expected()


def test_a_digest_covers_every_link_that_served_it(lake):
    forget(lake, TakedownKind.DIGEST, bytes_digest(b"p"))
    assert outcomes(lake) == expected(C, D)


def test_lines_that_come_later_are_covered_too(lake):
    forget(lake, TakedownKind.IDENTITY, identity_key("Dee"))
    assert outcomes(lake) == expected()
    write_table(lake, lake.links(SOURCE, "lines.parquet"), link_lines(("Dee", 1, D, BOX)), stamp="two")
    assert outcomes(lake) == expected(D)


def test_what_is_taken_down_stops_with_its_reason_and_says_no_more(lake):
    later = attempt(A, Reason.TIMEOUT, round=2, next_try=NOW, detail="Ada's", final_url=A)
    write_table(lake, f"{lake.images(SOURCE, '0000-0001-aaaaaa')}.parquet", attempts(later))
    forget(lake, TakedownKind.URL, url_key(A))

    (row,) = (row for row in read_ledger(lake, SOURCE).to_pylist() if row["key"] == url_key(A))
    said = {name: value for name, value in row.items() if value is not None}
    assert said == {
        "key": url_key(A),
        "url": "",
        "outcome": "rejected",
        "reason": "taken_down",
        "tries": 1,
        "round": 2,
        "fetched_at": NOW,
    }
    assert len(pending_due(plan(LINES), read_ledger(lake, SOURCE), datetime.now(UTC))) == 0


def test_nothing_taken_down_is_detected_cropped_or_compared(lake):
    forget(lake, TakedownKind.IDENTITY, identity_key("Ada_Aal"))

    assert {image.key for image in accepted_images(lake, SOURCE, STEM)} == {url_key(C), url_key(D)}
    compare_pictures(lake, SOURCE)
    assert read_verdicts(lake, SOURCE)["identity"].to_pylist() == ["Bo", "Cy"]
    assert read_faces(lake, SOURCE, "mtcnn")["identity"].to_pylist() == ["Bo", "Cy"]


def test_takedowns_are_only_ever_added_and_name_no_one(lake):
    forget(lake, TakedownKind.IDENTITY, identity_key("Ada_Aal"))
    first = lake.names(lake.takedowns())
    forget(lake, TakedownKind.URL, url_key(C))

    assert set(first) < set(lake.names(lake.takedowns()))
    assert read_takedowns(lake)["kind"].to_pylist() == ["identity", "url"]
    written = b"".join(lake.read(f"takedowns/{name}") for name in lake.names("takedowns"))
    assert not any(word in written.lower() for word in (b"aal", b"example"))


def test_takedowns_that_cannot_be_read_stop_the_stages(lake):
    lake.write(lake.takedowns("broken"), b"?")
    with pytest.raises(LakeError, match=r"takedowns/broken.parquet cannot be read"):
        read_ledger(lake, SOURCE)


class Web:
    """Serves one picture at every URL, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, url: str) -> FetchResult:
        self.asked.append(url)
        return FetchResult(url, b"p", http_status=200)


async def test_a_url_taken_down_is_not_asked_for():
    web = Web()
    answer = await GuardedTransport(web, lambda: Forgotten(keys=frozenset({url_key(A)}))).get(A)
    assert (web.asked, answer) == ([], FetchResult("", reason=Reason.TAKEN_DOWN))


async def test_a_picture_to_which_a_link_is_redirected_is_not_let_in_if_that_url_is_taken_down():
    class Redirecting:
        async def get(self, url: str) -> FetchResult:
            return FetchResult(A, b"p", http_status=200)

    answer = await GuardedTransport(Redirecting(), lambda: Forgotten(keys=frozenset({url_key(A)}))).get(B)
    assert answer == FetchResult("", reason=Reason.TAKEN_DOWN, http_status=200)


async def test_bytes_taken_down_are_not_let_in_from_any_url():
    guarded = GuardedTransport(Web(), lambda: Forgotten(digests=frozenset({bytes_digest(b"p")})))
    assert await guarded.get(A) == FetchResult("", reason=Reason.TAKEN_DOWN, http_status=200)


async def test_bytes_taken_down_are_not_let_in_from_a_response_that_broke_off():
    class Broken:
        async def get(self, url: str) -> FetchResult:
            return FetchResult("", reason=Reason.TRUNCATED, partial=b"p")

    answer = await GuardedTransport(Broken(), lambda: Forgotten(digests=frozenset({bytes_digest(b"p")}))).get(A)
    assert (answer.reason, answer.partial) == (Reason.TAKEN_DOWN, b"")


async def test_nothing_is_asked_for_until_the_takedowns_could_be_read():
    web, failures = Web(), [LakeError("the store does not answer"), LakeError("the store does not answer")]

    def read() -> Forgotten:
        if failures:
            raise failures.pop()
        return Forgotten(keys=frozenset({url_key(A)}))

    guarded = GuardedTransport(web, read)
    for _ in range(2):
        with pytest.raises(LakeError):
            await guarded.get(A)
    assert ((await guarded.get(A)).reason, web.asked) == (Reason.TAKEN_DOWN, [])


async def test_what_is_not_taken_down_comes_as_it_is():
    guarded = GuardedTransport(Web(), lambda: Forgotten(frozenset({url_key(B)}), frozenset({bytes_digest(b"q")})))
    assert await guarded.get(A) == FetchResult(A, b"p", http_status=200)


async def test_a_takedown_that_is_recorded_during_a_fetch_counts_from_the_next_look_on():
    web, covered = Web(), [Forgotten(), Forgotten(keys=frozenset({url_key(A)}))]
    guarded = GuardedTransport(web, lambda: covered.pop(0))
    assert (await guarded.get(A)).reason is None
    guarded.look_again()
    found = await asyncio.gather(*(guarded.get(url) for url in (A, A, B)))
    assert ([one.reason for one in found], web.asked) == ([Reason.TAKEN_DOWN, Reason.TAKEN_DOWN, None], [A, B])
