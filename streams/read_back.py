"""What a fold had done, read back from the state it left: for the sink, when it reads the log again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.metering.fold import BucketKey, Grouping, fill_buckets, groupings, unique_texts
from domain.metering.reading import Reads
from domain.metering.rows import Row
from schemas import state
from schemas.catalog import meter_of
from schemas.state import Applied
from streams import metrics
from streams.decoded import Decoded
from streams.folding import ChangedRows, NewUnique
from tables.store import PartitionStore


def reads_of(applied: Iterable[Applied]) -> Reads:
    """What these meter versions read of an event."""
    return Reads(groupings(meter_of(one.meter) for one in applied))


def stored_changes(
    store: PartitionStore, decoded: Decoded, applied: Sequence[Applied]
) -> tuple[list[bool], list[ChangedRows], list[NewUnique]]:
    """What folding `decoded` had done, read back from the state: verdicts, rows as they are now, values of UNIQUE_COUNT.

    `decoded` has what `reads_of(applied)` reads.
    """
    seen = store.seen(decoded.hashes)
    flags = [stored == at for stored, at in zip(seen, decoded.positions, strict=True)]
    rows: list[ChangedRows] = []
    uniques: list[NewUnique] = []
    minutes = [second // 60 for second in decoded.seconds]
    for one in applied:
        by_type = groupings([meter_of(one.meter)])
        counted = [
            i
            for i, at in enumerate(decoded.positions)
            if flags[i]
            and decoded.types[i] in by_type
            and one.start <= at
            and (one.until is None or at < one.until)
        ]
        texts = decoded.columns.texts
        fill_buckets(counted, decoded.types, decoded.subjects, minutes, texts, by_type)
        for grouping in (g for found in by_type.values() for g in found):
            _read_back(store, grouping, decoded, rows, uniques)
    return flags, rows, uniques


def _read_back(
    store: PartitionStore,
    grouping: Grouping,
    decoded: Decoded,
    rows: list[ChangedRows],
    uniques: list[NewUnique],
) -> None:
    (measure,) = grouping.measures
    meter = measure.meter
    prefix = state.row_key_prefix(meter.id, meter.version)
    keys = list(grouping.buckets)
    kept: list[tuple[BucketKey, Row]] = []
    found = store.rows_of_all_weeks([prefix + state.row_key_body(*key) for key in keys])
    for key, stored in zip(keys, found, strict=True):
        if not stored:
            # It went with its week. That waits for the sink, so ClickHouse has the row, unless it lost it.
            metrics.sink_rows_missing.inc()
            continue
        # More than one: the first was shut before its week goes, and what came later began anew.
        kept += [(key, state.decode_row(value)) for value in stored]
        if measure.counts_uniques:
            bucket = grouping.buckets[key]
            for text in unique_texts(bucket, decoded.columns.values[measure.value_path]):
                uniques.append(
                    NewUnique(meter, key, state.value_hash(text), decoded.positions[bucket[-1]])
                )
    rows.append(ChangedRows(meter, [key for key, _ in kept], [row for _, row in kept]))
