"""The official OpenMeter SDK for Python on customers, subjects and features."""

from datetime import timedelta

import pytest
from corehttp.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from openmeter import Client

from runtime import clock
from tests.stack import wait_until

pytestmark = pytest.mark.e2e

NOW = clock.now().replace(second=0, microsecond=0)


@pytest.fixture
def sdk(stack):
    with Client(endpoint=stack.api.url, token="om_ignored") as client:
        yield client


def test_customers_are_made_listed_replaced_and_deleted(sdk, unique):
    key = f"acme/{unique}"
    made = sdk.customers.create(
        {
            "key": key,
            "name": f"Acme {unique}",
            "currency": "EUR",
            "usageAttribution": {"subjectKeys": [f"b_{unique}", f"a_{unique}"]},
            "billingAddress": {"country": "NL"},
        }
    )

    assert made.usage_attribution.subject_keys == [f"a_{unique}", f"b_{unique}"]
    assert sdk.customers.get(made.id).billing_address.country == "NL"
    assert sdk.subjects.get(f"a_{unique}").key == f"a_{unique}"
    page = sdk.customers.list(name=f"ACME {unique}", page_size=1)
    assert (page.total_count, page.items_property[0].id) == (1, made.id)
    after = sdk.customers.update(made.id, {"key": key, "name": "New"})
    assert (after.name, after.currency, after.usage_attribution) == ("New", "EUR", None)
    with pytest.raises(ResourceExistsError):
        sdk.customers.create({"key": key, "name": "Again"})
    sdk.customers.delete(made.id)

    assert sdk.customers.get(made.id).deleted_at is not None
    with pytest.raises(HttpResponseError) as told:
        sdk.customers.delete(made.id)
    assert told.value.status_code == 412


def test_subjects_are_upserted_listed_and_deleted(sdk, unique):
    made, other = sdk.subjects.upsert(
        [{"key": f"s_{unique}", "displayName": "S", "metadata": {"n": 1}}, {"key": f"t_{unique}"}]
    )
    (kept,) = sdk.subjects.upsert([{"key": f"s_{unique}"}])

    assert (kept.id, kept.display_name, kept.metadata) == (made.id, "S", {"n": 1})
    assert {made.id, other.id} <= {one.id for one in sdk.subjects.list()}
    sdk.subjects.delete(f"s_{unique}")

    with pytest.raises(ResourceNotFoundError):
        sdk.subjects.get(f"s_{unique}")
    assert sdk.subjects.get(made.id).deleted_at is not None


def test_features_are_made_listed_and_archived(sdk, stack, unique):
    meter = stack.make_meter(f"m_{unique}", f"t_{unique}", groupBy={"model": "$.model"})
    made = sdk.features.create(
        {
            "key": f"f_{unique}",
            "name": "F",
            "meterSlug": meter["slug"],
            "advancedMeterGroupByFilters": {"model": {"$in": ["a", "b"]}},
            "unitCost": {"type": "manual", "amount": "0.10"},
        }
    )

    assert made.unit_cost["amount"] == "0.1"
    assert sdk.features.get(f"f_{unique}").id == made.id
    listed = sdk.features.list(meter_slug=[meter["slug"]])
    assert [one["id"] for one in listed] == [made.id]
    with pytest.raises(ResourceExistsError):
        sdk.meters.delete(meter["slug"])
    sdk.features.delete(made.id)

    with pytest.raises(ResourceNotFoundError):
        sdk.features.get(made.id)
    sdk.meters.delete(meter["slug"])


def test_usage_follows_a_subject_to_its_new_customer(sdk, stack, unique):
    slug = stack.make_meter(f"m_{unique}", f"t_{unique}", groupBy={"model": "$.model"})["slug"]
    ids = []
    for name, subjects in (("one", ["x", "y"]), ("two", [])):
        body = {
            "key": f"{name}_{unique}",
            "name": name,
            "usageAttribution": {"subjectKeys": [f"{subject}_{unique}" for subject in subjects]},
        }
        ids.append(sdk.customers.create(body).id)
    one, two = ids
    for n, subject in enumerate(("x", "x", "y", "one", "two", "z")):
        event = {
            "id": str(n),
            "source": "sdk",
            "specversion": "1.0",
            "type": f"t_{unique}",
            "subject": f"{subject}_{unique}",
            "time": (NOW - timedelta(minutes=n + 1)).isoformat(),
            "data": {"n": 1 << n, "model": "big" if n % 2 else "small"},
        }
        sdk.events.ingest_event(event)
    stack.wait_value(slug, 63)

    def totals(**more):
        found = sdk.meters.query(slug, {"filterCustomerId": [one, two], **more}).data
        return {(row.customer_id, *(row.group_by or {}).values(), row.subject): row.value for row in found}  # fmt: skip

    assert totals() == {(one, None): 15, (two, None): 16}
    assert totals(groupBy=["model"]) == {
        (one, "small", None): 5,
        (one, "big", None): 10,
        (two, "small", None): 16,
    }
    assert totals(subject=[f"x_{unique}", f"z_{unique}"]) == {(one, f"x_{unique}"): 3}
    sdk.customers.update(one, {"key": f"one_{unique}", "name": "one"})
    sdk.customers.update(
        two,
        {
            "key": f"two_{unique}",
            "name": "two",
            "usageAttribution": {"subjectKeys": [f"x_{unique}"]},
        },
    )

    assert totals() == {(one, None): 8, (two, None): 19}
    listed = wait_until(
        lambda: [
            event
            for event in sdk.events.list(customer_id=[two])
            if event.event.type == f"t_{unique}"
        ],
        10,
    )
    assert {event.event.subject for event in listed} == {f"x_{unique}", f"two_{unique}"}
    assert {event.customer_id for event in listed} == {two}
