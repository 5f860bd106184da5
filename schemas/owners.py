"""What a worker says of itself to all others: where it answers, and which partitions it has. And who is standby of what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker. A record on the owners topic under its `name`; no value there: it has stopped.

    `owned`: partitions that the group gave it, `generation` says by which of its decisions (the greater one wins where two
    workers claim the same). `standby`: partitions whose balances it follows besides, and answers for.
    """

    name: str
    url: str
    owned: tuple[int, ...] = ()
    standby: tuple[int, ...] = ()
    generation: int = -1
    at_ms: int = 0


_decode = msgspec.json.Decoder(WorkerRecord).decode


def encode_worker(record: WorkerRecord) -> bytes:
    """The value of a record."""
    return msgspec.json.encode(record)


def decode_worker(value: bytes) -> WorkerRecord:
    """The inverse of `encode_worker`. msgspec.DecodeError."""
    return _decode(value)


def owner_by_partition(live: Collection[WorkerRecord]) -> Mapping[int, WorkerRecord]:
    """The owner of each partition that has one."""
    owners: dict[int, WorkerRecord] = {}
    for record in sorted(live, key=lambda one: (one.generation, one.name)):
        for number in record.owned:
            owners[number] = record
    return owners


def standbys_after(owner: str, live: Collection[str], count: int) -> Sequence[str]:
    """The `count` workers after `owner` in the order of their names, beginning again at the first: its standbys."""
    others = sorted(set(live) - {owner})
    after = [name for name in others if name > owner] + [name for name in others if name < owner]
    return after[:count]


def standby_of(name: str, live: Collection[WorkerRecord], count: int) -> set[int]:
    """The partitions that the worker `name` is to follow for their owners, by what all live workers say."""
    names = {record.name for record in live} | {name}
    return {
        number
        for number, owner in owner_by_partition(live).items()
        if owner.name != name and name in standbys_after(owner.name, names, count)
    }
