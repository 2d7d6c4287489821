"""Plan the downloads: one candidate per distinct URL, in units of about 25 people, with hosts spread evenly.

9% of VGGFace1's lines repeat a URL, often for another person: each picture is fetched once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.records import CANDIDATES, DIGEST_KINDS
from storage.tables.take import take, take_values
from tasks.links.line_ids import words_and_codes
from tasks.links.sources.spelling import match_names, suggestion

# 2622 people make 105 units: few enough for one task each, and a lost one costs only minutes.
IDENTITIES_PER_UNIT = 25

Ints = npt.NDArray[np.int64]


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
    encoded = lines["identity"].cast(pa.string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    wanted = _wanted(encoded.dictionary.to_pylist(), identities)[codes]
    if per_identity is not None:
        wanted &= rank_within(codes) < per_identity
    if not wanted.any():
        raise UsageError("the selection contains no link line: select at least one identity and one line of each")
    rows = pa.table({"key": lines["key"], "row": np.arange(len(codes))})
    rows = rows.append_column("digest_bytes", pc.binary_length(lines["listed_digest"]))
    first = rows.group_by("key").aggregate([("row", "min"), ("digest_bytes", "max")])
    asked = pc.unique(lines["key"].filter(pa.array(wanted)))
    first = first.filter(pc.is_in(first["key"], value_set=asked))
    owners = codes[first["row_min"].to_numpy()]
    table = pa.table(
        {
            "key": first["key"],
            "url": take_values(lines["url"], first["row_min"].to_numpy()),
            "unit": pa.array(owners // IDENTITIES_PER_UNIT, pa.int32()),
            "digest_kind": _kinds(first["digest_bytes_max"]),
        },
        schema=CANDIDATES,
    )
    line = lines["line"].take(first["row_min"]).to_numpy()
    return take(table, _spread(table, line))


def _kinds(lengths: pa.ChunkedArray) -> pa.Array:
    """The algorithm of digests of these lengths in bytes; null for SHA-256, which every picture has anyway."""
    others = {num: kind for num, kind in DIGEST_KINDS.items() if kind != "sha256"}
    words = pa.array(others.values(), pa.string())
    found = words.take(pc.index_in(lengths, value_set=pa.array(others, lengths.type)).combine_chunks())
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
