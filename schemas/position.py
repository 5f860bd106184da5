"""Position of an event in its partition: one 64-bit integer, `offset << 20 | index`.

Order is the order of the log. Source: docs/internals.md, "Position".
"""

INDEX_BITS = 20
EVENTS_PER_RECORD_MAX = 1 << INDEX_BITS


def position(offset: int, index: int) -> int:
    """The position of the event at `index` inside the record at `offset`."""
    return offset << INDEX_BITS | index


def offset_of(at: int) -> int:
    """The Kafka offset of the record that holds the event at `at`."""
    return at >> INDEX_BITS


def index_of(at: int) -> int:
    """The index of the event at `at` inside its record."""
    return at & (EVENTS_PER_RECORD_MAX - 1)


def record_start(offset: int) -> int:
    """The position of the first event of the record at `offset`."""
    return offset << INDEX_BITS
