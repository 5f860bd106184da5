"""Where a client is in the balances topic: what it has seen of every partition. The `id:` of an event, opaque to clients."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from domain.errors import Refused

TEXT_LENGTH_MAX = 16_384
_FORM = 1
_decode = msgspec.msgpack.Decoder(tuple[int, bytes, tuple[int, ...]]).decode


@dataclass(frozen=True, slots=True)
class Position:
    """`offsets[p]`: the first record of partition p that has not been seen. `topic`: which topic they are of."""

    topic: bytes
    offsets: tuple[int, ...]

    def text(self) -> str:
        """For `id:`."""
        return position_text(self.topic, self.offsets)


def topic_mark(topic_id: str) -> bytes:
    """Tells a topic from another one of the same name."""
    return blake2b(topic_id.encode(), digest_size=4).digest()


def position_text(topic: bytes, offsets: Sequence[int]) -> str:
    """The text of a position."""
    packed = msgspec.msgpack.encode((_FORM, topic, tuple(offsets)))
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def read_position(text: str) -> Position:
    """The inverse of `Position.text`. Refused for what never was one."""
    try:
        packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        form, topic, offsets = _decode(packed)
    except (msgspec.MsgspecError, binascii.Error, UnicodeError) as error:
        raise _no_position() from error
    if form != _FORM or any(offset < 0 for offset in offsets):
        raise _no_position()
    return Position(topic, offsets)


def _no_position() -> Refused:
    return Refused(
        "last_event_id_invalid",
        "Last-Event-ID is not the id of an event of this stream",
        "lastEventId",
    )
