"""The slice of a host: which run may request it (`storage.leases.host_slices`)."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from storage.leases.slice_rules import NUM_SLICES

_MAX_HOSTS = 10_000


@lru_cache(_MAX_HOSTS)
def slice_of(host: str) -> int:
    """The slice of a host, by a hash of its name in the form by which its limits are kept: lower case, without port."""
    digest = hashlib.blake2b(host.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % NUM_SLICES
