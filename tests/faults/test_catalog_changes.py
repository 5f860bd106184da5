"""Meters are made, changed, deleted and made again while workers restart: each counts exactly the range it says it covers."""

import msgspec
import pytest

from tests.builders import NOON, ULIDS, a_meter_record
from tests.workload import METERS, connect

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

RANGES_AND_ROWS = """
SELECT r.meter, r.version, r.partition, r.counted, e.counted FROM (
    SELECT g.meter AS meter, g.version AS version, g.partition AS partition, sum(ifNull(u.count, 0)) AS counted
    FROM (SELECT * FROM meter_ranges FINAL) AS g
    LEFT JOIN (SELECT * FROM usage FINAL) AS u
      ON u.meter = g.meter AND u.version = g.version AND u.partition = g.partition
    GROUP BY 1, 2, 3
) AS r JOIN (
    SELECT g.meter AS meter, g.version AS version, g.partition AS partition,
           countIf(e.position >= g.from_position AND (g.closed = 0 OR e.position < g.until_position)) AS counted
    FROM (SELECT * FROM meter_ranges FINAL) AS g
    LEFT JOIN (SELECT DISTINCT partition, position FROM events WHERE verdict = 'accepted') AS e
      ON e.partition = g.partition
    GROUP BY 1, 2, 3
) AS e USING (meter, version, partition)
SETTINGS join_use_nulls = 1
"""


def test_every_version_of_a_meter_counts_exactly_the_positions_it_covers(cluster):
    again = a_meter_record("calls", id=ULIDS[50], aggregation="COUNT")
    calls = METERS[1]
    changed = msgspec.structs.replace(
        METERS[4], group_by={"model": "$.model", "user": "$.user"}, version=2
    )
    deleted = msgspec.structs.replace(calls, deleted_at=NOON)
    worker = cluster.worker().start().wait_ready()
    cluster.work.publish_meters()
    cluster.work.burst(200)

    cluster.producer.publish_meter(changed, 10)
    cluster.work.burst(200)
    worker.kill()
    cluster.producer.publish_meter(deleted, 11)
    cluster.work.burst(200)
    worker.start().wait_ready()
    cluster.work.burst(200)
    cluster.producer.publish_meter(again, 12)
    cluster.run_until_dead("chunk_sent:3")
    cluster.run_until_dead("block_planned:2")
    worker.start().wait_ready()
    cluster.wait_visible(cluster.work.burst(200))

    rows = connect(cluster.clickhouse, cluster.namespace).query(RANGES_AND_ROWS).result_rows
    by_version = {}
    for meter, version, _, in_rows, in_events in rows:
        assert in_rows == in_events, rows
        by_version[meter, version] = by_version.get((meter, version), 0) + in_rows
    assert len(rows) == 4 * 7
    assert by_version[METERS[4].id, 1] > 0
    assert by_version[METERS[4].id, 2] > 0
    assert by_version[again.id, 1] > 0
    assert by_version[METERS[0].id, 1] > by_version[calls.id, 1] > 0
