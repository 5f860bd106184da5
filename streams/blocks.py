"""From folded chunks to the columns and rows of a block. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from domain.metering.fold import BucketKey
from domain.metering.rows import Row
from schemas.sink_block import BlockRow, BlockUnique, EventColumns
from streams.decoded import Decoded
from streams.folding import ChangedRows, NewUnique


def add_events(columns: EventColumns, decoded: Decoded, flags: Sequence[bool]) -> None:
    """Append the decoded events to the columns."""
    columns.ids += decoded.ids
    columns.sources += decoded.sources
    columns.types += decoded.types
    columns.subjects += decoded.subjects
    columns.datas += decoded.texts
    columns.seconds += decoded.seconds
    columns.ingested_ms += decoded.appended_ms
    columns.positions += decoded.positions
    columns.accepted += flags


def newest(changes: Sequence[ChangedRows]) -> list[ChangedRows]:
    """The newest row of each (meter, bucket, epoch), of changes in log order."""
    meters = {(c.meter.id, c.meter.version): c.meter for c in changes}
    newest: dict[tuple[str, int], dict[tuple[BucketKey, int], Row]] = {key: {} for key in meters}
    for meter, buckets, rows in changes:
        epochs = [row.epoch for row in rows]
        newest[meter.id, meter.version].update(
            zip(zip(buckets, epochs, strict=True), rows, strict=True)
        )
    return [
        ChangedRows(meters[key], [bucket for bucket, _ in found], list(found.values()))
        for key, found in newest.items()
    ]


def block_rows(changed: ChangedRows) -> list[BlockRow]:
    """The rows of one meter as ClickHouse takes them."""
    meter, version = changed.meter.id, changed.meter.version
    return [
        BlockRow(meter, version, subject, groups, minute, row)
        for (subject, minute, groups), row in zip(changed.buckets, changed.rows, strict=True)
    ]


def block_unique(new: NewUnique) -> BlockUnique:
    """A distinct value as ClickHouse takes it."""
    subject, minute, groups = new.bucket
    return BlockUnique(
        new.meter.id, new.meter.version, subject, groups, minute, new.hash, new.position
    )
