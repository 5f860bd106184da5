"""Blocks of events that a COUNT meter counts, each in a row of its own."""

from domain.metering.query import ResultRow
from domain.metering.rows import Row
from schemas.sink_block import Block, BlockRow, EventColumns
from schemas.state import Applied
from tests.builders import ULIDS, a_meter_record
from tests.integration.clickhouse.conftest import NOW_MS

METER = a_meter_record("calls", aggregation="COUNT")
NOON = 1_772_712_000


def a_block(subjects: list[str], first: int = 0) -> Block:
    """One counted event for each subject."""
    count = len(subjects)
    positions = list(range(first, first + count))
    events = EventColumns(
        [f"e{p}" for p in positions], ["src"] * count, ["request"] * count, list(subjects), [NOON] * count, [""] * count,
        [NOW_MS] * count, positions, [True] * count,
    )  # fmt: skip
    rows = [
        BlockRow(ULIDS[0], 1, subject, (), NOON // 60, Row(p, p, 1))
        for subject, p in zip(subjects, positions, strict=True)
    ]
    end = first + count
    return Block(
        "default", "om_default_events", 0, first, end, end, NOW_MS, events, rows, (), [Applied(METER, 0, None)]
    )  # fmt: skip


def the_count(value: int) -> list[ResultRow]:
    return [ResultRow(window_start=NOON, window_end=NOON + 60, value=value)]
