"""Bytes of the running balances in RocksDB. Everything here is stored: docs/internals.md, "Balances"; change FORMAT with a byte.

Keys, by their first byte; `account` is the entitlement's id, 16 bytes of its ULID, numbers are big endian:
`a` account → AccountWire · `d` account → StandWire, written with every change of usage · `e` account → the record its plan was made from
`c` account, rest of the usage key (minute, subject, groups, epoch) → what a row has contributed; of UNIQUE_COUNT: minute and hash of a value
that does not count yet → nothing · `u` account, period start i64, hash of a value → the second of the period that first saw it
`l` account → nothing: waits for its history · `t` minute i64, account → nothing: to be looked at when the minute is over
`p` source partition u32 → ProgressWire · `stamp` → BalanceStamp
"""

from __future__ import annotations

import struct
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

import msgspec

from domain.credits.account import Account, Phase, Used, counting
from domain.credits.cuts import Plan
from domain.credits.state import State
from domain.metering.rows import Exact, Latest, Number
from domain.metering.ulid import ulid_bytes
from schemas.catalog import EntitlementRecord

FORMAT = 1
STAMP = b"stamp"
ACCOUNT = b"a"
STAND = b"d"
RECORD = b"e"
CONTRIBUTION = b"c"
VALUE = b"u"
LOADING = b"l"
TIMER = b"t"
PROGRESS = b"p"

ACCOUNT_BYTES = 16
HASH_BYTES = 16

_I64 = struct.Struct(">q")
_U32 = struct.Struct(">I")
_SMALL = struct.Struct(">Qq")
_POSITION = struct.Struct(">Q")
_LATEST = struct.Struct(">QqQ")
_I64_MOST = 1 << 63

Packed = int | float | str
"""A number in msgpack: decimals are text, integers past 64 bits text with an "i" at the end."""


class BalanceStamp(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the state is of, and up to where. `next_offset` None: not begun. `catalog`: all changes up to then are worked in."""

    format: int = FORMAT
    topic_id: str
    partition: int
    partitions: int
    next_offset: int | None = None
    catalog: int = 0


class PhaseWire(msgspec.Struct, frozen=True, array_like=True):
    """A phase as it began, and what it used."""

    start: datetime
    balances: dict[str, Decimal]
    overage: Decimal
    period_start: datetime
    period_usage: Decimal
    period_taken: Decimal
    used: Packed | tuple[int, int, Packed] | None


class LoadingWire(msgspec.Struct, frozen=True, array_like=True):
    """Rows are kept from this usage offset on; progress counts that has seen this version of the catalog."""

    offset: int
    catalog: int


class AccountWire(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An account. `signature` says which rows are its; `covered`: below these positions, by source partition, history had all."""

    customer_id: str
    version: int
    signature: bytes
    aggregation: str
    loading: LoadingWire | None
    whole: bool
    covered: dict[int, int]
    phases: tuple[PhaseWire, ...]


class StandWire(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What moves with every row: usage of the last phase, the minute before which rows are counted, the first that waits.

    `timer`: the minute under which the account stands among the timers.
    """

    used: Packed | tuple[int, int, Packed] | None
    counted_to: int
    first_waiting: int | None
    timer: int | None


class ProgressWire(msgspec.Struct, frozen=True, array_like=True):
    """The newest progress of a source partition, and the usage offset by which it had been read."""

    source_next: int
    catalog: int
    as_of_ms: int
    offset: int


encode = msgspec.msgpack.Encoder(decimal_format="string").encode
decode_stamp = msgspec.msgpack.Decoder(BalanceStamp).decode
decode_account = msgspec.msgpack.Decoder(AccountWire).decode
decode_stand = msgspec.msgpack.Decoder(StandWire).decode
decode_progress = msgspec.msgpack.Decoder(ProgressWire).decode
decode_record = msgspec.msgpack.Decoder(EntitlementRecord).decode
_pack = msgspec.msgpack.Encoder(decimal_format="string").encode
_unpack = msgspec.msgpack.Decoder(Packed).decode


class RowHead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a row's value (`schemas.state.encode_row`) that SUM and COUNT need; what follows is not read."""

    epoch: int
    position: int
    count: int
    numeric: int
    total: int | str
    outside: float | None


decode_head = msgspec.msgpack.Decoder(RowHead).decode


# -- keys


@lru_cache(maxsize=1 << 14)
def key_of(entitlement_id: str) -> bytes:
    """The account of an entitlement. ValueError when the id is no ULID."""
    return ulid_bytes(entitlement_id)


def timer_key(minute: int, account: bytes) -> bytes:
    """When an account is to be looked at."""
    return TIMER + _I64.pack(minute) + account


def timer_minute(minute: int) -> bytes:
    """Where the timers of a minute begin."""
    return TIMER + _I64.pack(minute)


def progress_key(partition: int) -> bytes:
    """Of a source partition."""
    return PROGRESS + _U32.pack(partition)


def partition_in(key: bytes) -> int:
    """The inverse of `progress_key`."""
    found: int = _U32.unpack_from(key, 1)[0]
    return found


def packed_minute(minute: int) -> bytes:
    """A minute, or a second, as in keys; negative ones do not sort, and do not occur."""
    return _I64.pack(minute)


def minute_in(packed: bytes, at: int = 0) -> int:
    """The inverse of `packed_minute`."""
    found: int = _I64.unpack_from(packed, at)[0]
    return found


def after(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, whose last byte is below 255 or whose account is no 2^128 - 1."""
    number = int.from_bytes(prefix, "big") + 1
    return number.to_bytes(len(prefix), "big")


# -- contributions


def encode_added(position: int, quantity: Exact) -> bytes:
    """SUM and COUNT: position u64, then i64, else text of any other length."""
    if type(quantity) is int and -_I64_MOST <= quantity < _I64_MOST:
        return _SMALL.pack(position, quantity)
    text = str(quantity).encode()
    return _POSITION.pack(position) + (text if len(text) != _I64.size else text + b" ")


def decode_added(raw: bytes) -> tuple[int, Exact]:
    """The inverse: (position, quantity)."""
    if len(raw) == _SMALL.size:
        return _SMALL.unpack(raw)
    position: int = _POSITION.unpack_from(raw)[0]
    return position, Decimal(raw[8:].decode())


def encode_latest(position: int, latest: Latest) -> bytes:
    """LATEST: position of the row, second and position of the value, the value in msgpack."""
    head = _LATEST.pack(position, latest.second, latest.position)
    return head + _pack(pack_number(latest.value))


def decode_latest(raw: bytes) -> tuple[int, Latest]:
    """The inverse."""
    position, second, at = _LATEST.unpack_from(raw)
    return position, Latest(second, at, unpack_number(_unpack(raw[_LATEST.size :])))


# -- numbers and phases


def pack_number(number: Number) -> Packed:
    """For msgpack."""
    if type(number) is int:
        return number if -_I64_MOST <= number < _I64_MOST else f"{number}i"
    return str(number) if isinstance(number, Decimal) else number


def unpack_number(packed: Packed) -> Number:
    """The inverse."""
    return packed if not isinstance(packed, str) else exact_of(packed)


def exact_of(text: str) -> Exact:
    """An exact number from its text."""
    return int(text[:-1]) if text[-1] == "i" else Decimal(text)


def pack_used(used: Used) -> Packed | tuple[int, int, Packed] | None:
    """What a phase used."""
    if type(used) is int and -_I64_MOST <= used < _I64_MOST:
        return used
    if isinstance(used, Latest):
        return used.second, used.position, pack_number(used.value)
    return None if used is None else pack_number(used)


def unpack_used(packed: Packed | tuple[int, int, Packed] | None) -> Used:
    """The inverse."""
    if isinstance(packed, tuple):
        second, position, value = packed
        return Latest(second, position, unpack_number(value))
    if packed is None or isinstance(packed, int):
        return packed
    assert isinstance(packed, str)  # usage that is no LATEST is exact
    return exact_of(packed)


def pack_phases(account: Account) -> tuple[PhaseWire, ...]:
    """The phases of an account."""
    return tuple(
        PhaseWire(
            opened.phase_start,
            dict(opened.balances),  # type: ignore[arg-type]  # ids of grants are texts
            opened.overage,
            opened.period_start,
            opened.period_usage,
            opened.period_taken,
            pack_used(phase.used),
        )
        for phase in account.phases
        for opened in (phase.opened,)
    )


def unpack_account(wire: AccountWire, stand: StandWire, plan: Plan) -> Account:
    """The account that follows `plan`."""
    plan = counting(plan)
    phases = [_phase(phase, plan) for phase in wire.phases]
    phases[-1].used = unpack_used(stand.used)
    return Account(plan, phases, whole=wire.whole)


def _phase(wire: PhaseWire, plan: Plan) -> Phase:
    opened = State(
        at=wire.start,
        phase_start=wire.start,
        balances=wire.balances,  # type: ignore[arg-type]  # ids of grants are texts
        overage=wire.overage,
        usage=plan.nothing,
        period_start=wire.period_start,
        period_usage=wire.period_usage,
        period_taken=wire.period_taken,
    )
    return Phase(opened, unpack_used(wire.used))
