"""Durations as short text: `2.3 hours`, `12 s`."""

from __future__ import annotations


def hours_text(hours: float) -> str:
    """A duration in hours, or in minutes if it is under an hour; at least one minute."""
    return f"{hours:,.1f} hours" if hours >= 1 else f"{max(round(60 * hours), 1)} min"


def seconds_text(seconds: float) -> str:
    """A duration in the unit that suits it, at most 6 characters below 1,000 hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 3600:,.0f} h"
