"""The official OpenMeter SDK for Python against a running worker and api."""

from datetime import UTC, datetime, timedelta

import pytest
from corehttp.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from openmeter import Client
from openmeter.models import Event

from tests.stack import wait_until

pytestmark = pytest.mark.e2e

START = datetime(2024, 3, 5, 10, 0, tzinfo=UTC)


@pytest.fixture
def sdk(stack):
    with Client(endpoint=stack.api.url, token="om_ignored") as client:
        yield client


@pytest.fixture
def meter(stack, unique):
    return stack.make_meter(f"m_{unique}", f"t_{unique}", groupBy={"model": "$.model"})


def an_sdk_event(unique, id, subject="s", minutes=0, **data):
    return {
        "id": id,
        "source": f"sdk/{unique}",
        "specversion": "1.0",
        "type": f"t_{unique}",
        "subject": subject,
        "time": (START + timedelta(minutes=minutes)).isoformat(),
        "data": data,
    }


def counted(sdk, slug, value):
    def reached():
        rows = sdk.meters.query_json(slug).data
        return rows and rows[0].value == value

    wait_until(reached, 30, f"{slug} = {value}")


def test_events_of_every_form_are_counted(sdk, meter, unique):
    sdk.events.ingest_event(an_sdk_event(unique, "1", n=1))
    sdk.events.ingest_events([an_sdk_event(unique, "2", n=2), an_sdk_event(unique, "3", n=4)])
    sdk.events.ingest_events_json(Event(an_sdk_event(unique, "4", n=8)))
    sdk.events.ingest_events_json([an_sdk_event(unique, "5", n=16)])

    counted(sdk, meter["slug"], 31)
    of_type = {"type": {"$eq": f"t_{unique}"}}
    listed = [one.event.id for one in sdk.events_v2.list(limit=2, filter=of_type)]
    assert sorted(listed) == list("12345")


def test_meters_are_listed_read_changed_and_deleted(sdk, meter, unique):
    slug = meter["slug"]

    assert slug in {one.slug for one in sdk.meters.list()}
    changed = sdk.meters.update(slug, {"name": "Renamed", "groupBy": {"zone": "$.zone"}})
    assert (changed.name, changed.group_by) == ("Renamed", {"zone": "$.zone"})
    assert sdk.meters.get(meter["id"]).name == "Renamed"
    sdk.meters.delete(slug)

    with pytest.raises(ResourceNotFoundError):
        sdk.meters.get(slug)
    assert sdk.meters.get(meter["id"]).deleted_at is not None


def test_a_meter_is_made_though_the_sdk_waits_for_another_status(sdk, unique):
    body = {"slug": f"new_{unique}", "aggregation": "COUNT", "eventType": "x"}

    # The SDK is made from a document that says 201; the reference server answers 200, and so does this one.
    with pytest.raises(HttpResponseError) as told:
        sdk.meters.create(body)

    assert told.value.status_code == 200
    assert sdk.meters.get(f"new_{unique}").aggregation == "COUNT"
    with pytest.raises(ResourceExistsError):
        sdk.meters.create(body)


def test_questions_in_every_form(sdk, meter, unique):
    slug = meter["slug"]
    sdk.events.ingest_events(
        [
            an_sdk_event(unique, "1", "a", 0, n=1, model="big"),
            an_sdk_event(unique, "2", "a", 30, n=2, model="small"),
            an_sdk_event(unique, "3", "b", 90, n=4, model="big"),
        ]
    )
    counted(sdk, slug, 7)

    by_hour = sdk.meters.query_json(
        slug,
        from_parameter=START,
        to=START + timedelta(hours=2),
        window_size="HOUR",
        window_time_zone="Europe/Berlin",
        group_by=["model"],
        advanced_meter_group_by_filters={"model": {"$in": ["big"]}},
    )
    by_subject = sdk.meters.query(slug, {"subject": ["a", "b"]})
    as_csv = sdk.meters.query_csv(slug, window_size="DAY")

    assert [(row.window_start, row.value, row.group_by) for row in by_hour.data] == [
        (START, 1, {"model": "big"}),
        (START + timedelta(hours=1), 4, {"model": "big"}),
    ]
    assert {row.subject: row.value for row in by_subject.data} == {"a": 3, "b": 4}
    assert "2024-03-05T00:00:00Z,2024-03-06T00:00:00Z,7.000000" in as_csv
    assert sdk.meters.list_subjects(slug) == ["a", "b"]
    assert sdk.meters.list_group_by_values(slug, "model", to=START + timedelta(days=1)) == [
        "big",
        "small",
    ]


def test_a_refusal_is_an_error_with_the_problem(sdk, unique):
    with pytest.raises(HttpResponseError) as told:
        sdk.events.ingest_event(an_sdk_event(unique, "", n=1))

    assert told.value.status_code == 400
    assert told.value.model.extensions["validationErrors"][0]["code"] == "empty_field"
