"""Checks of the lake, the disks and the clocks: pure decisions on the facts of `lake_facts`."""

from __future__ import annotations

from datetime import datetime

from flows.doctor.lake_facts import Disk, LakeFound
from flows.doctor.verdict import Level, Limits, Verdict, by_limits
from storage.text.durations import seconds_text
from storage.text.sizes import size_words

# A shard of 500 pictures takes some 60 MB, the crops of a version gigabytes.
_ROOM = Limits(fail=1e9, warn=10e9)
_FILES = Limits(fail=1_000, warn=100_000)
# Clocks that are set over the network differ by less. S3 refuses requests that are 15 minutes off.
_CLOCK_S, _STORE_FAIL_S = 60.0, 900.0


def check_disk(disk: Disk) -> Verdict:
    """Whether a disk has room for bytes and for files."""
    name = f"disk of {disk.of}"
    advice = f"free some of the disk of {disk.folder}; `facemill status --disk` and `facemill prune` tell of the lake"
    room = by_limits(name, disk.free_bytes, _ROOM, lambda number: f"{size_words(number)} free", advice)
    if disk.free_files is None or room.level is Level.FAIL:
        return room
    files = by_limits(name, disk.free_files, _FILES, lambda number: f"{number:,.0f} files free", advice)
    return room if files.level is Level.OK else files


def check_lake(found: LakeFound) -> Verdict:
    """Whether the lake can be read and written."""
    if found.error:
        return Verdict("lake", Level.FAIL, found.error)  # which says what to do
    if found.write_error:
        advice = "make it writable for this user, or choose another --lake"
        return Verdict("lake", Level.FAIL, f"cannot be written: {found.write_error}", "", advice)
    if not found.exists:
        return Verdict("lake", Level.OK, f"{found.url} does not exist yet; the first run makes it")
    done = "readable and writable" if found.can_tell_writes else "readable with these credentials; no write was tried"
    return Verdict("lake", Level.OK, f"{found.url} is {done}")


def check_clock(found: LakeFound, now: datetime) -> Verdict:
    """Whether this machine's clock agrees with those of the disk and the store, and with what is in the lake."""
    limit = f"{_CLOCK_S:.0f} s"
    advice = "set the clock, and keep it set (chrony, systemd-timesyncd); schedules and retry times depend on it"
    lags = {"the store's clock": found.store_lag_s, "the clock of the lake's file system": found.file_lag_s}
    off = [(name, lag_s) for name, lag_s in lags.items() if lag_s is not None and abs(lag_s) > _CLOCK_S]
    for name, lag_s in off:
        is_refused = name.startswith("the store") and abs(lag_s) > _STORE_FAIL_S
        way = "ahead" if lag_s > 0 else "behind"
        return Verdict(
            "clock",
            Level.FAIL if is_refused else Level.WARN,
            f"{name} is {seconds_text(abs(lag_s))} {way}",
            f"{_STORE_FAIL_S / 60:.0f} min, by S3" if is_refused else limit,
            advice,
        )
    ahead_s = (found.newest_row - now).total_seconds() if found.newest_row else 0.0
    if ahead_s > _CLOCK_S:
        value = f"the newest row of the lake is {seconds_text(ahead_s)} in the future"
        return Verdict("clock", Level.WARN, value, limit, advice)
    compared = [name for name, lag_s in lags.items() if lag_s is not None]
    compared += ["the newest row of the lake"] if found.newest_row else []
    value = f"agrees with {', '.join(compared)}" if compared else f"{now:%Y-%m-%d %H:%M} UTC; nothing to compare with"
    return Verdict("clock", Level.OK, value, limit)
