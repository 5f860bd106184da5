"""Keys of advisory locks: 64 bits made from words, so that two purposes do not share one."""

from __future__ import annotations

from hashlib import blake2b


def lock_key(*words: str) -> int:
    """The key for these words; the database's other users are kept apart by the first word being ours."""
    text = "\0".join(("meterstream", *words)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)
