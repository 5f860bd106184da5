"""The OpenAPI document says what the API does: all of its routes, parameters, codes and answers; and the page shows it."""

import ast
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import yaml
from openapi_spec_validator import validate

from api.app import RESOURCES
from api.openapi.answers import Problem
from api.openapi.catalogue import OPERATIONS
from api.openapi.document import build
from api.openapi.operations import testing
from api.parsing import parameters_of
from api.routing import Resource
from tests import openapi_answers
from tests.api_app import AnApp, a_stored_event
from tests.openapi_answers import document
from tests.unit.api.test_api_fate import a_verdict
from tests.unit.api.test_api_rejected import a_refused_record

ROOT = Path(__file__).resolve().parents[3]
METERED = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": {"interval": "DAY", "anchor": "2026-03-05T06:00:00Z"},
    "measureUsageFrom": "2026-03-05T06:00:00Z",
    "issueAfterReset": 1000,
}
METER = {"slug": "m", "aggregation": "SUM", "eventType": "t", "valueProperty": "$.n"}
EVENT = {"id": "1", "source": "s", "specversion": "1.0", "type": "t", "subject": "x"}
PATHS = {
    "{id_or_slug}": "{meterIdOrSlug}",
    "{key}": "{groupByKey}",
    "{feature_key}": "{featureKey}",
    "{customer_id}": "{customerId}",
    "{customer}": "{customerIdOrKey}",
    "{subject}": "{subjectIdOrKey}",
    "{feature}": "{featureId}",
    "{entitlement}": "{entitlementIdOrFeatureKey}",
    "{entitlement_id}": "{entitlementId}",
    "{grant_id}": "{grantId}",
    "{hold_key}": "{holdKey}",
}


def operations() -> dict[tuple[str, str], dict]:
    return {
        (path, method): item[method]
        for path, item in document()["paths"].items()
        for method in item.keys() - {"parameters"}
    }


def path_for_readers(path: str) -> str:
    for ours, theirs in PATHS.items():
        path = path.replace(ours, theirs)
    return path


def test_the_document_is_valid_openapi():
    validate(document())

    assert document()["openapi"] == "3.1.0"


def test_it_has_every_operation_of_the_router_and_no_other():
    router = {
        (path_for_readers(resource.path), method.lower())
        for resource in RESOURCES
        for method in resource.handlers
    }

    assert set(operations()) == router


def test_every_description_belongs_to_a_handler_of_the_router():
    handlers = {handler for resource in RESOURCES for handler in resource.handlers.values()}

    assert {operation.handler for operation in OPERATIONS} == handlers
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_a_route_that_nobody_described_is_an_error():
    async def nobodys(request):
        raise NotImplementedError

    with pytest.raises(KeyError):
        build([*RESOURCES, Resource("/api/v1/new", {"GET": nobodys})], OPERATIONS)


def test_every_parameter_that_is_read_is_explained():
    for operation in OPERATIONS:
        if operation.query is not None:
            names = {parameter.name for parameter in parameters_of(operation.query)}
            assert set(operation.words) == names, operation.id


def test_every_member_of_a_body_is_explained():
    schemas = document()["components"]["schemas"]
    bodies = ("MeterCreate", "MeterUpdate", "MeterQueryRequest", "CustomerRequest", "FeatureCreate")
    for name in (*bodies, "CloudEvent"):
        for member, schema in schemas[name]["properties"].items():
            explained = "description" in schema or schema == {
                "anyOf": [{"enum": ["application/json"]}, {"type": "null"}]
            }
            assert explained or member in ("datacontenttype", "dataschema", "specversion"), (
                name,
                member,
            )


def test_every_pattern_and_reference_holds():
    schemas = document()["components"]["schemas"]

    def look(at):
        if isinstance(at, dict):
            if isinstance(at.get("pattern"), str):
                assert "\\Z" not in at["pattern"]
                re.compile(at["pattern"])
            if isinstance(at.get("$ref"), str):
                assert at["$ref"].removeprefix("#/components/schemas/") in schemas
            for inner in at.values():
                look(inner)
        elif isinstance(at, list):
            for inner in at:
                look(inner)

    look(document())


async def test_every_example_is_taken_as_it_is():
    app = AnApp()
    tried = set()
    first = [("/api/v1/meters", "post"), ("/api/v1/features", "post")]
    in_order = sorted(
        operations().items(),
        key=lambda one: (first.index(one[0]) if one[0] in first else len(first), one[0]),
    )
    for number, ((path, method), operation) in enumerate(in_order):
        for media, body in operation.get("requestBody", {"content": {}})["content"].items():
            answer = await app.request(
                method.upper(),
                await path_with_what_it_names(app, path, number),
                content=json.dumps(body["example"]),
                headers={"content-type": media},
            )
            assert answer.is_success, answer.text
            tried.add((path, method))

    assert tried == {key for key, told in operations().items() if "requestBody" in told}


async def path_with_what_it_names(app: AnApp, path: str, number: int) -> str:
    """The path with names of what is there; an entitlement's route gets a customer and an entitlement of its own."""
    if "entitlements" not in path:
        return path.replace("{meterIdOrSlug}", "tokens").replace("{customerIdOrKey}", "acme")
    await app.post("/api/v1/features", {"key": "tokens", "name": "T", "meterSlug": "tokens"})
    customer, subject = f"c{number}", f"s{number}"
    attribution = {"subjectKeys": [subject]}
    await app.post(
        "/api/v1/customers", {"key": customer, "name": "C", "usageAttribution": attribution}
    )
    made = {"id": ""}
    if not path.endswith("/entitlements"):
        made = (await app.post(f"/api/v2/customers/{customer}/entitlements", METERED)).json()
    return (
        path.replace("{customerIdOrKey}", customer)
        .replace("{subjectIdOrKey}", subject)
        .replace("{entitlementIdOrFeatureKey}", "tokens")
        .replace("{entitlementId}", made["id"])
    )


# -- codes


def codes_raised(*files: str) -> set[str]:
    """The first argument of every Refused(…), and the codes of the other errors."""
    found = set()
    for pattern in files:
        for path in ROOT.glob(pattern):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", "") in ("Refused", "_refused", "HoldConflict")
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    found.add(node.args[0].value)
    return found


def codes_told() -> set[str]:
    return {
        code
        for operation in (*OPERATIONS, *testing.OPERATIONS)
        for codes in operation.problems().values()
        for code in codes
    }


ONLY_INSIDE = {
    "id_invalid",
    "key_invalid",
    "expiry_invalid",
    "grant_ends_before_it_starts",
    "priority_invalid",
    "usage_period_missing",
}
"""Would be a mistake of ours."""

ONLY_BY_KAFKA = {"empty_record"}
"""Refused in a record, never in a request: docs/rejected-events.md."""

BY_OTHERS = {
    "not_found",
    "conflict",
    "precondition_failed",
    "currency_invalid",
    "currency_not_found",
    "number_out_of_range",
    "subject_key_is_id",
    "entitlement_overlaps",
    "forbidden",
    "grant_before_the_period",
    "void_before_the_period",
    "interval_not_positive",
    "time_out_of_range",
}
"""Other errors' codes, and those of rooms that raise more than requests can meet."""


def test_every_code_that_can_occur_is_told_and_no_other():
    rooms = ("metering", "customers", "features", "holds")
    raised = codes_raised(
        "api/**/*.py",
        "schemas/cloudevents.py",
        "domain/texts.py",
        "domain/credits/grant.py",
        "domain/entitlements/configuration.py",
        "domain/entitlements/grants.py",
        "domain/entitlements/history.py",
        "domain/entitlements/managing.py",
        "domain/entitlements/usage_period.py",
        "domain/time/duration.py",
        "schemas/entitlement_records.py",
        "streams/holds/*.py",
        *(f"domain/{room}/*.py" for room in rooms),
    )

    assert raised - ONLY_INSIDE - ONLY_BY_KAFKA | BY_OTHERS == codes_told()


# -- answers


async def answers_of_everything(app: AnApp) -> None:
    """One success of every operation."""
    made = (await app.post("/api/v1/meters", METER)).json()
    for path in ("/api/v1/meters", f"/api/v1/meters/{made['id']}"):
        await app.get(path)
    await app.request("PUT", "/api/v1/meters/m", json={"groupBy": {"g": "$.g"}})
    await app.ingest(json.dumps(EVENT).encode())
    await app.get("/api/v1/events")
    await app.get("/api/v2/events")
    await app.get("/api/v1/events/rejected")
    await app.get("/api/v1/events/fate?id=e1")
    await app.get("/api/v1/debug/metrics")
    await app.get("/api/v1/meters/m/query")
    await app.post("/api/v1/meters/m/query", {})
    await app.get("/api/v1/meters/m/subjects")
    await app.get("/api/v1/meters/m/group-by/g/values")
    await app.request("DELETE", "/api/v1/meters/m")
    await answers_of_customers(app)
    await answers_of_entitlements(app)
    await answers_of_balances(app)
    await answers_of_holds(app)
    for path in ("/healthz", "/healthz/ready", "/healthz/live"):
        await app.get(path)
        await app.request("HEAD", path)
    for path in ("/metrics", "/version", "/docs", "/docs/start.js"):
        await app.get(path)
    for path in ("/api/v1/openapi.json", "/api/v1/openapi.yaml"):
        await app.get(path)


async def answers_of_customers(app: AnApp) -> None:
    for path, key, body in (
        ("/api/v1/customers", "c", {"key": "c", "name": "C"}),
        ("/api/v1/subjects", "s", [{"key": "s"}]),
        ("/api/v1/features", "f", {"key": "f", "name": "F"}),
    ):
        await app.post(path, body)
        await app.get(path)
        await app.get(f"{path}/{key}")
        if path == "/api/v1/customers":
            await app.request("PUT", f"{path}/{key}", json=body)
        await app.request("DELETE", f"{path}/{key}")


async def answers_of_balances(app: AnApp) -> None:
    """Values, histories, explanations and access of a metered entitlement."""
    made = (await app.post("/api/v2/customers/e/entitlements", METERED)).json()
    of_subject, of_customer = "/api/v1/subjects/e1/entitlements", "/api/v2/customers/e/entitlements"
    for base in (of_subject, of_customer):
        await app.get(f"{base}/tokens/value")
        await app.get(f"{base}/{made['id']}/history?windowSize=HOUR")
        await app.get(f"{base}/tokens/explain")
    await app.get("/api/v1/customers/e/entitlements/tokens/value")
    await app.get("/api/v1/customers/e/access")
    await app.get(f"/api/v3/openmeter/customers/{made['customerId']}/entitlement-access")
    await app.post("/api/v3/openmeter/entitlement-access/query", {"customer": {"keys": ["e"]}})


async def answers_of_holds(app: AnApp) -> None:
    """Holds, and a stream that ends at once."""
    holds = "/api/v1/customers/e/entitlements/tokens/holds"
    await app.post(holds, {"key": "job-1", "amount": 1})
    await app.get(holds)
    await app.get(f"{holds}/job-1")
    await app.post(f"{holds}/job-1/confirm", {"used": 1})
    await app.post(f"{holds}/job-1/release")
    await app.get("/api/v1/stream/balances")


async def answers_of_entitlements(app: AnApp) -> None:
    """Of both versions: made, read, listed, granted, reset, replaced, deleted."""
    await app.post("/api/v1/meters", {**METER, "slug": "tokens"})
    await app.post("/api/v1/features", {"key": "tokens", "name": "T", "meterSlug": "tokens"})
    body = {"key": "e", "name": "E", "usageAttribution": {"subjectKeys": ["e1"]}}
    await app.post("/api/v1/customers", body)
    grant = {"amount": 1, "effectiveAt": "2026-03-05T11:00:00Z"}
    grant["expiration"] = {"duration": "DAY", "count": 1}
    for version, base in ((1, "/api/v1/subjects/e1"), (2, "/api/v2/customers/e")):
        base = f"{base}/entitlements"
        made = (await app.post(base, METERED)).json()
        id = made["id"]
        granted = (await app.post(f"{base}/tokens/grants", grant)).json()
        name = id if version == 1 else "tokens"
        for path in (base, f"{base}/{name}", f"{base}/tokens/grants"):
            await app.get(path)
        for path in ("entitlements", f"entitlements/{id}", "grants"):
            await app.get(f"/api/v{version}/{path}")
        await app.get(f"/api/v{version}/grants?page=1")
        await app.request("DELETE", f"/api/v1/grants/{granted['id']}")
        await app.post(f"{base}/{name}/reset", {})
        await app.request("PUT", f"{base}/tokens/override", json=METERED)
        [new] = (await app.get("/api/v1/entitlements?excludeInactive=true")).json()
        await app.request("DELETE", f"{base}/{new['id']}")


async def test_a_success_of_every_operation_is_as_the_document_says(monkeypatch):
    monkeypatch.setattr(openapi_answers, "seen", set())
    app = AnApp()
    app.events.events = [a_stored_event()]
    app.rejected.records = [a_refused_record()]
    app.verdicts.verdicts = [a_verdict(), a_verdict(position=9, accepted=False)]

    await answers_of_everything(app)

    succeeded = {
        (path, method) for path, method, status in openapi_answers.seen if status[0] == "2"
    }
    assert succeeded == set(operations())


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b'{"items": [], "surprise": 1}'),
        (200, b'{"items": [{}]}'),
        (200, b"{}"),
        (201, b'{"items": []}'),
        (400, b'{"type": "about:blank", "title": "Bad Request", "status": 400, "instance": "x"}'),
        (
            400,
            b'{"type": "about:blank", "title": "Bad Request", "status": 400, "instance": "x", "extensions": '
            b'{"validationErrors": [{"code": "new_code", "message": "m", "severity": "critical"}]}}',
        ),
    ],
)
def test_an_answer_that_the_document_does_not_have_is_noticed(status, content):
    media = "application/json" if status < 400 else "application/problem+json"
    answer = httpx.Response(
        status,
        content=content,
        headers={"content-type": media},
        request=httpx.Request("GET", "http://test/api/v2/events"),
    )

    with pytest.raises(AssertionError):
        openapi_answers.check(answer)


def test_a_request_that_is_taken_against_the_document_is_noticed():
    answer = httpx.Response(
        200,
        json=[],
        request=httpx.Request("POST", "http://test/api/v1/events", json={"id": 1}),
    )

    with pytest.raises(AssertionError):
        openapi_answers.check(answer)


def test_problems_have_the_type_of_the_document():
    assert Problem.__name__ in document()["components"]["schemas"]


# -- the page


class References(HTMLParser):
    """What a page loads, and whether something stands in it that a strict policy forbids."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.found += [told[name] for name in ("src", "href") if name in told]
        self.inline += [name for name in told if name.startswith("on") or name == "style"]
        self._in = tag

    def handle_data(self, data):
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)


async def test_the_page_and_all_that_it_loads_come_from_here():
    app = AnApp()

    page = await app.get("/docs")
    references = References()
    references.feed(page.text)

    assert references.inline == []
    assert len(references.found) == 4
    for reference in references.found:
        assert not urlsplit(reference).netloc
        part = await app.get(urljoin("/docs", reference))
        assert part.status_code == 200, reference
        assert part.headers["x-content-type-options"] == "nosniff"
    start = (await app.get("/docs/start.js")).text
    (url,) = re.findall(r'url: "([^"]+)"', start)
    assert (await app.get(urljoin("/docs", url))).json() == document()
    assert "validatorUrl: null" in start


async def test_the_page_may_load_nothing_from_elsewhere():
    page = await AnApp().get("/docs")

    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    for part, allowed in policy.items():
        assert set(allowed.split()) <= {"'self'", "'none'", "data:"}, part
    assert policy["script-src"] == "'self'"


async def test_style_sheets_load_nothing_from_elsewhere():
    sheet = (await AnApp().get("/docs/swagger-ui.css")).text

    loaded = re.findall(r"url\(\s*[\"']?([^\"')]{0,30})", sheet)
    assert loaded
    assert all(one.startswith("data:") for one in loaded)
    assert "@import" not in sheet


@pytest.mark.parametrize("name", ["index.html", "LICENSE", "..%2Fopenapi%2Fserving.py", "x.js"])
async def test_no_other_file_is_served(name):
    assert (await AnApp().get(f"/docs/{name}")).status_code == 404


async def test_both_notations_say_the_same():
    app = AnApp()

    text = (await app.get("/api/v1/openapi.yaml")).text

    assert yaml.safe_load(text) == document()


async def test_the_document_is_there_before_the_services_are():
    app = AnApp()
    app.app.state.calls = None

    assert (await app.get("/api/v1/openapi.json")).status_code == 200
    assert (await app.get("/docs")).status_code == 200


def test_vendored_files_are_as_they_were_published():
    folder = resources.files("api.openapi") / "page" / "swagger-ui"
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())

    assert {name for name in sums if name.endswith(("js", "css"))} == {
        "swagger-ui-bundle.js",
        "swagger-ui.css",
    }
    for name, told in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == told, name
