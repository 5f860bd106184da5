"""Which partition a key belongs to: Java's murmur2, as Kafka's own producers use it."""

from __future__ import annotations

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_32_BITS = 0xFFFFFFFF


_REMEMBERED_BYTES_MAX = 256
"""Longer keys are not remembered: what is remembered stays below 30 MB."""


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions`."""
    hashed = _remembered(key) if len(key) <= _REMEMBERED_BYTES_MAX else murmur2(key)
    return (hashed & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 of `data`, unsigned. Source: org.apache.kafka.common.utils.Utils.murmur2."""
    length = len(data)
    whole = length >> 2
    h = _SEED ^ length
    for k in struct.unpack_from(f"<{whole}I", data):
        k = k * _M & _32_BITS
        h = h * _M & _32_BITS ^ (k ^ k >> 24) * _M & _32_BITS
    rest = data[whole << 2 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _32_BITS
    h = (h ^ h >> 13) * _M & _32_BITS
    return h ^ h >> 15


_remembered = lru_cache(maxsize=1 << 16)(murmur2)
