"""ULIDs as text and as 16 bytes: 48 bits of Unix milliseconds, then 80 random bits, in Crockford's base 32.

Pure: the caller brings the time and the randomness. Source: ULID specification; metering §0.2.
"""

import re

RANDOM_BYTES = 10

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}\Z", re.ASCII)


def new_ulid(at_ms: int, randomness: bytes) -> str:
    """The ULID of Unix milliseconds and 10 random bytes."""
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"a ULID takes {RANDOM_BYTES} random bytes, not {len(randomness)}")
    return ulid_text(at_ms.to_bytes(6, "big") + randomness)


def is_ulid(text: str) -> bool:
    """Whether `text` is a ULID, in either case."""
    return _ULID.match(text) is not None


def ulid_bytes(text: str) -> bytes:
    """The 16 bytes of a ULID; ValueError when it is none."""
    if not is_ulid(text):
        raise ValueError(f"not a ULID: {text[:40]!r}")
    number = 0
    for letter in text.upper():
        number = number << 5 | _VALUES[letter]
    return number.to_bytes(16, "big")


def ulid_text(raw: bytes) -> str:
    """The text of a ULID's 16 bytes."""
    number = int.from_bytes(raw, "big")
    return "".join(_LETTERS[number >> shift & 31] for shift in range(125, -1, -5))
