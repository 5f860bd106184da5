"""Positions, topics and catalog records."""

import json

import pytest

from domain.errors import Refused
from schemas.catalog import (
    CatalogRecord,
    catalog_key,
    decode_catalog_record,
    encode_catalog_record,
    meter_of,
    record_of,
)
from schemas.position import EVENTS_PER_RECORD_MAX, index_of, offset_of, position, record_start
from schemas.topics import catalogue, names
from tests.builders import NOON, ULIDS, a_meter_record


def test_a_position_is_offset_and_index_in_the_order_of_the_log():
    last = position(7, EVENTS_PER_RECORD_MAX - 1)

    assert last == 7 << 20 | 0xFFFFF
    assert (offset_of(last), index_of(last)) == (7, 0xFFFFF)
    assert last + 1 == record_start(8) == position(8, 0)


def test_the_catalogue_names_every_topic_with_its_cleanup():
    topics = {t.name: t for t in catalogue("acme", partitions=4, retention_ms=1000)}

    assert {name: (t.partitions, t.cleanup, t.keyed) for name, t in topics.items()} == {
        "om_acme_events": (4, "delete", True),
        "om_acme_events_raw": (4, "delete", True),
        "om_acme_rejected": (4, "delete", False),
        "om_acme_alerts": (4, "delete", True),
        "om_acme_usage": (4, "compact", True),
        "om_acme_balances": (4, "compact", True),
        "om_acme_holds": (4, "compact", True),
        "om_acme_catalog": (1, "compact", True),
        "om_acme_owners": (1, "compact", True),
        "om_acme_meter_changelog": (4, "compact", True),
    }
    assert topics["om_acme_events"].config["retention.ms"] == "1000"
    assert int(topics["om_acme_meter_changelog"].config["min.compaction.lag.ms"]) >= 600_000


@pytest.mark.parametrize("namespace", ["", "_a", "a_", "a__b", "a-b", "a.b", "é", "a\n", "a" * 65])
def test_a_namespace_that_would_make_two_topics_one_is_refused(namespace):
    with pytest.raises(Refused) as refused:
        names(namespace)

    assert (refused.value.code, refused.value.field) == ("namespace_invalid", "namespace")


def test_a_catalog_record_reads_back_as_it_was():
    meter = a_meter_record(groups={"b": "$.b"}, deleted_at=NOON, metadata={"k": "v"}, version=2)
    record = CatalogRecord(kind="meter", version=12, meter=meter)

    encoded = encode_catalog_record(record)

    assert decode_catalog_record(encoded) == record
    assert catalog_key(record) == f"meter/{ULIDS[0]}".encode()
    assert record_of(meter_of(meter)) == meter


def test_the_json_of_a_catalog_record():
    record = CatalogRecord(kind="meter", version=1, meter=a_meter_record())

    assert json.loads(encode_catalog_record(record)) == {
        "kind": "meter",
        "version": 1,
        "meter": {
            "id": ULIDS[0],
            "namespace": "default",
            "slug": "tokens",
            "name": "tokens",
            "aggregation": "SUM",
            "event_type": "request",
            "value_property": "$.tokens",
            "created_at": "2026-03-05T12:00:00Z",
            "updated_at": "2026-03-05T12:00:00Z",
        },
    }
