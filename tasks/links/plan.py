"""Plan the downloads: one candidate per distinct URL, in units of about 25 people, with hosts spread evenly.

9% of VGGFace1's lines repeat a URL, often for another person: each picture is fetched once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.records import CANDIDATES, DIGEST_KINDS
from storage.tables.byte_order import by_bytes
from storage.tables.take import take
from tasks.links.line_ids import distinct_words, words_and_codes
from tasks.links.sources.spelling import match_names, suggestion

# 2622 people make 105 units: few enough for one task each, and a lost one costs only minutes.
IDENTITIES_PER_UNIT = 25

Ints = npt.NDArray[np.int64]


# The columns of `records.LINK_LINES` that choose the lines of a plan, and those that become its candidates.
OF_CHOICE = ["identity", "key", "listed_digest"]
OF_CANDIDATES = ["line", "key", "url"]
# Units of so many candidates together are put in order at a time: 200 MB.
_ROWS_AT_A_TIME = 1_000_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The first line with each distinct URL of a selection, in the order of the list.

    Attributes:
        rows: the numbers of the lines, [n], ascending.
        units: ascending too, [n].
        digest_bytes: the length of the longest digest that the list has of the URL, [n]; -1 for none.
    """

    rows: Ints
    units: npt.NDArray[np.int32]
    digest_bytes: npt.NDArray[np.int32]


def plan(lines: pa.Table, identities: int | Sequence[str] | None = None, per_identity: int | None = None) -> pa.Table:
    """The candidates for a selection of the lines.

    Args:
        lines: `records.LINK_LINES` of the whole source, sorted by identity and line.
        identities: the first n people, or the named ones in any normal form of Unicode; None for all.
        per_identity: the first n lines of each; None for all.

    Returns:
        `records.CANDIDATES` ordered by unit, and within a unit with each host's links spread evenly. A URL's unit is
        that of the first person with it in the whole source: it does not change as the selection grows. Pictures
        without a host are in the order of their lines.

    Raises:
        UsageError: a named person is not in the source, or the selection is empty.
    """
    return pa.concat_tables(plan_blocks(choose(lines, identities, per_identity), [lines.select(OF_CANDIDATES)]))


def plan_blocks(chosen: Chosen, lines: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The candidates of chosen lines, as `plan` gives them, in blocks of whole units.

    Args:
        lines: `OF_CANDIDATES` of the whole source, in blocks of consecutive rows.
    """
    waiting: list[pa.Table] = []
    start = num_waiting = done = 0
    for block in lines:
        first, end = np.searchsorted(chosen.rows, [start, start + len(block)]).tolist()
        waiting.append(take(block, chosen.rows[first:end] - start))
        start, num_waiting = start + len(block), num_waiting + end - first
        if num_waiting > _ROWS_AT_A_TIME:
            # The last unit may go on in the next block.
            whole = int(np.searchsorted(chosen.units, chosen.units[end - 1])) - done
            found = pa.concat_tables(waiting)
            if whole:
                yield _candidates(found.slice(0, whole), chosen, done)
            waiting, num_waiting, done = [found.slice(whole)], num_waiting - whole, done + whole
    if num_waiting:
        yield _candidates(pa.concat_tables(waiting), chosen, done)


def choose(lines: pa.Table, identities: int | Sequence[str] | None = None, per_identity: int | None = None) -> Chosen:
    """The lines of a plan; arguments and errors are those of `plan`.

    Args:
        lines: `OF_CHOICE` of the whole source.
    """
    names, codes = distinct_words(lines["identity"])
    wanted = _wanted(names.to_pylist(), identities)[codes]
    if per_identity is not None:
        wanted &= rank_within(codes.astype(np.int64)) < per_identity
    if not wanted.any():
        raise UsageError("the selection contains no link line: select at least one identity and one line of each")
    order, starts = by_bytes(lines["key"])
    longest = _longest(lines["listed_digest"], order, starts)
    asked = np.logical_or.reduceat(wanted[order], starts)
    first = order[starts[asked]]
    del order, starts
    in_order = np.argsort(first)
    rows = first[in_order]
    return Chosen(rows, codes[rows] // IDENTITIES_PER_UNIT, longest[asked][in_order])


def _longest(digests: pa.ChunkedArray, order: Ints, starts: Ints) -> npt.NDArray[np.int32]:
    """The most bytes of a digest of the rows from each start in `order` to the next; -1 if all are null."""
    if digests.null_count == len(digests):
        return np.full(len(starts), -1, np.int32)
    lengths = pc.fill_null(pc.binary_length(digests), -1).to_numpy()
    longest: npt.NDArray[np.int32] = np.maximum.reduceat(lengths[order], starts)
    return longest


def _candidates(lines: pa.Table, chosen: Chosen, start: int) -> pa.Table:
    """The candidates of lines, which are the chosen ones from `start` on, in order."""
    some = slice(start, start + len(lines))
    table = pa.table(
        {
            "key": lines["key"],
            "url": lines["url"],
            "unit": pa.array(chosen.units[some], pa.int32()),
            "digest_kind": _kinds(pa.array(chosen.digest_bytes[some], pa.int32())),
        },
        schema=CANDIDATES,
    )
    return take(table, _spread(table, lines["line"].to_numpy()))


def _kinds(lengths: pa.Array) -> pa.Array:
    """The algorithm of digests of these lengths in bytes; null for SHA-256, which every picture has anyway."""
    others = {num: kind for num, kind in DIGEST_KINDS.items() if kind != "sha256"}
    words = pa.array(others.values(), pa.string())
    found = words.take(pc.index_in(lengths, value_set=pa.array(others, lengths.type)))
    return found.dictionary_encode().cast(CANDIDATES.field("digest_kind").type)


def rank_within(codes: Ints) -> Ints:
    """The number of equal codes before each one; [n] to [n]."""
    order = np.argsort(codes, kind="stable")
    grouped = codes[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    lengths = np.diff(np.r_[starts, len(codes)])
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = np.arange(len(codes)) - np.repeat(starts, lengths)
    return ranks


def _wanted(names: list[str], identities: int | Sequence[str] | None) -> npt.NDArray[np.bool_]:
    if identities is None:
        return np.ones(len(names), dtype=bool)
    if isinstance(identities, int):
        return np.arange(len(names)) < identities
    found, unknown = match_names(identities, names)
    if unknown:
        raise UsageError(
            f"the list has no {', '.join(unknown[:5])}; it has {len(names)} people, the first is {names[0]}: "
            + suggestion(unknown[0], names)
        )
    return np.isin(names, found)


def _spread(candidates: pa.Table, line: npt.NDArray[np.int32]) -> Ints:
    """An order by unit with each host's links spread evenly: the k-th of n at about k/n of the unit."""
    found = pc.extract_regex(candidates["url"], r"^[^/]*//(?P<host>[^/?#]*)")
    # Pictures of a folder have no host and count as one.
    hosts, host = words_and_codes(pc.fill_null(pc.struct_field(found, "host"), ""))
    unit = candidates["unit"].to_numpy().astype(np.int64)
    key = candidates["key"].combine_chunks()
    start = np.frombuffer(key.buffers()[1], dtype=">u8").reshape(-1, 2)[key.offset : key.offset + len(key), 0]
    if hosts.to_pylist() == [""]:
        # A picture costs 0.1 ms in the order of Parquet's rows, and 5 to 50 ms in any other.
        return np.lexsort((start, line, unit))
    by_key = np.lexsort((start,))
    group = unit * (int(host.max(initial=0)) + 1) + host
    ranks = np.empty(len(group), dtype=np.int64)
    ranks[by_key] = rank_within(group[by_key])
    _, inverse, counts = np.unique(group, return_inverse=True, return_counts=True)
    place = (ranks + start / 2.0**64) / counts[inverse]
    return np.lexsort((start, place, unit))
