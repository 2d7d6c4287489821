"""Numbers of bytes in words."""

from __future__ import annotations


def size_words(num_bytes: float) -> str:
    """A number of bytes in KB, MB or GB of 1000, such as "10.5 MB"."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB")):
        if num_bytes >= limit:
            return f"{num_bytes / limit:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.0f} KB"
