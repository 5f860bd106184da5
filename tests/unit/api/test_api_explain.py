"""Explanations over HTTP, and as `meterstream explain` prints them."""

import io
import json
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from rich.console import Console
from typer.testing import CliRunner

from domain.errors import Unavailable
from runtime.cli import app as commands
from runtime.explain import show
from schemas.balances import Answer
from tests.api_app import problem_of
from tests.balance_app import BalanceApp, text
from tests.builders import NOON
from tests.unit.api.test_api_balances import a_value

PATH = "/api/v2/customers/acme/entitlements/tokens/explain"


@pytest.fixture
async def app():
    return await BalanceApp().begin()


@pytest.fixture
async def used(app):
    """Ten granted, twelve used over the day's reset, of which two are over; a duplicate and a text count for nothing."""
    app.entitlement = await app.entitled(measureUsageFrom=text(-30))
    app.use(3, -20)
    app.use(4, -5.5, id="first")
    app.use(Decimal("8.5"), -1, id="second")
    app.use(100, -1, id="again", counts=False)
    app.use("no number", -0.5)
    return app


async def test_segments_have_their_causes_rows_and_who_paid(used):
    answer = await used.get(PATH)

    told = answer.json()
    assert answer.headers["meterstream-source"] == "recomputed"
    assert told["value"]["balance"] == 0
    assert told["value"]["overage"] == 2.5
    grant = told["grants"][0]["id"]
    causes = [[cause["why"] for cause in segment["causes"]] for segment in told["segments"]]
    assert causes[0] == ["start"]
    assert causes[-1] == ["began"]
    last = told["segments"][-1]
    assert last["period"] == {"from": text(-6), "to": text(0)}
    assert last["grantUsages"] == [{"grantId": grant, "usage": 10}]
    assert [(row["minute"], row["usage"], row["events"]) for row in last["rows"]] == [
        ("2026-03-05T06:30:00Z", 4, 1),
        ("2026-03-05T11:00:00Z", 8.5, 1),
        ("2026-03-05T11:30:00Z", 0, 1),
    ]
    assert [reset["byHand"] for reset in told["resets"]] == [False]


async def test_the_account_adds_up_from_segment_to_segment(used):
    await used.granted(7, -3)

    segments = (await used.get(PATH)).json()["segments"]

    for segment in segments:
        start = segment["balanceAtStart"] - segment["overageAtStart"]
        end = segment["balanceAtEnd"] - segment["overage"]
        assert start - segment["usage"] == pytest.approx(end)
        assert sum(row["usage"] for row in segment["rows"]) == pytest.approx(segment["usage"])


async def test_events_say_what_they_brought_and_whether_they_count(used):
    told = (await used.get(PATH)).json()

    events = {event["id"]: event for event in told["events"]["items"]}
    assert (events["first"]["value"], events["first"]["counts"]) == ("4", True)
    assert (events["again"]["verdict"], events["again"]["counts"]) == ("duplicate", False)
    assert (events["e5"]["verdict"], events["e5"]["counts"]) == ("accepted", False)
    assert told["segments"][events["second"]["segment"]]["period"]["from"] == text(-6)


async def test_events_come_in_pages_until_there_are_no_more(used):
    found, query = [], ""
    for _ in range(10):
        events = (await used.get(f"{PATH}?events=2{query}")).json()["events"]
        found += [event["id"] for event in events["items"]]
        if "nextCursor" not in events:
            break
        query = f"&cursor={events['nextCursor']}"

    assert found == ["e1", "first", "second", "again", "e5"]


async def test_the_rows_of_a_segment_are_bounded_and_counted(used):
    told = (await used.get(f"{PATH}?rows=1")).json()

    last = told["segments"][-1]
    assert (len(last["rows"]), last["rowCount"], last["eventCount"]) == (1, 3, 3)


async def test_an_earlier_time_and_a_chosen_start_have_their_own_account(used):
    path = f"/api/v2/customers/acme/entitlements/{used.entitlement['id']}/explain"

    told = (await used.get(f"{path}?time={text(-2)}&from={text(-4)}")).json()

    (segment,) = told["segments"]
    assert segment["period"] == {"from": text(-4), "to": text(-2)}
    assert (segment["balanceAtStart"], segment["balanceAtEnd"]) == (6, 6)
    assert told["value"] == {"hasAccess": False}  # it was made later
    assert "running" not in told


async def test_what_a_worker_says_stands_beside_it_with_what_is_held(used):
    value = a_value(used, used.entitlement, balance=Decimal(5), held=Decimal(2))
    as_of_ms = int(NOON.timestamp() * 1000)
    used.workers.answers = {
        used.customer["id"]: Answer(values=(value,), customer_id=used.customer["id"], as_of_ms=as_of_ms)
    }  # fmt: skip

    told = (await used.get(PATH)).json()

    assert told["value"]["balance"] == 0
    assert told["running"]["balance"] == 5
    assert told["running"]["held"] == 2
    assert told["running"]["source"] == "owner"


async def test_another_customers_entitlement_is_not_found(used):
    await used.made("/api/v1/customers", key="other", name="Other")
    path = f"/api/v2/customers/other/entitlements/{used.entitlement['id']}/explain"

    assert problem_of(await used.get(path))[:2] == (404, "not_found")
    subject = await used.made(
        "/api/v1/customers", key="x", name="X", usageAttribution={"subjectKeys": ["x1"]}
    )
    by_subject = f"/api/v1/subjects/x1/entitlements/{used.entitlement['id']}/explain"
    assert subject["id"]
    assert problem_of(await used.get(by_subject))[:2] == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("time=soon", "invalid_parameter"),
        ("from=2000-01-01T00:00:00Z", "history_before_measuring"),
        (f"time={text(1)}&from={text(2)}", "history_ends_before_it_starts"),
        ("rows=1001", "invalid_parameter"),
        ("events=-1", "invalid_parameter"),
        ("cursor=!", "invalid_cursor"),
        ("cursor=MSwyLDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "invalid_cursor"),
        ("time=9999-12-31T23:59:59Z", "time_out_of_range"),
        ("time=9000-12-31T23:59:59Z", "too_many_phases"),
        (f"from={text(-30)}&time=2040-01-01T00:00:00Z", "too_many_segments"),
    ],
)
async def test_what_cannot_be_explained_is_refused_with_a_code(used, query, code):
    assert problem_of(await used.get(f"{PATH}?{query}"))[:2] == (400, code)


async def test_a_flag_has_nothing_to_explain(app):
    await app.flag("flag")

    answer = await app.get("/api/v2/customers/acme/entitlements/flag/explain")

    assert problem_of(answer)[:2] == (400, "not_metered")


async def test_without_clickhouse_it_is_503(used):
    used.used.error = Unavailable("down")

    assert (await used.get(PATH)).status_code == 503


@pytest.mark.parametrize("aggregation", ["COUNT", "UNIQUE_COUNT", "LATEST"])
async def test_every_aggregation_can_be_explained(aggregation):
    app = await BalanceApp().begin(aggregation, groups={"model": "$.model"})
    await app.entitled()
    for hours, amount in ((-5, 3), (-4, 5), (-3, 3)):
        app.use(amount, hours)

    told = (await app.get(PATH)).json()
    page = await app.get(PATH, headers={"accept": "text/html"})

    usage = {"COUNT": 3, "UNIQUE_COUNT": 2, "LATEST": 3}[aggregation]
    assert told["value"]["usage"] == usage
    assert page.status_code == 200


# -- the page


class Seen(HTMLParser):
    """Tags, addresses and text of a page; fails on what is not closed."""

    void = ("meta", "br", "img", "link")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_a_browser_gets_a_page_that_asks_nobody_for_anything(used):
    answer = await used.get(f"{PATH}?events=1", headers=BROWSER)

    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    seen = Seen(answer.text)
    assert "svg" in seen.tags
    assert not {"script", "link", "img", "iframe"} & set(seen.tags)
    assert all(address.startswith("?") for address in seen.addresses)
    assert "12.5 was used" in seen.text
    assert "2.5 was used beyond that" in seen.text
    (more,) = seen.addresses
    following = await used.get(PATH + more, headers=BROWSER)
    assert following.status_code == 200


async def test_texts_of_events_are_text_on_the_page(app):
    await app.entitled()
    app.use("<script>alert(1)</script>", -1, id="<img src=x onerror=alert(2)>")

    seen = Seen((await app.get(PATH, headers=BROWSER)).text)

    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert "<img src=x onerror=alert(2)>" in seen.text


async def test_who_asks_for_json_first_gets_json(used):
    answer = await used.get(PATH, headers={"accept": "application/json, text/html"})

    assert answer.headers["content-type"] == "application/json"


# -- the command


def printed(told):
    out = io.StringIO()
    show(told, Console(file=out, width=160, highlight=False))
    return out.getvalue()


async def test_the_command_prints_the_account_rows_and_events(used):
    told = (await used.get(f"{PATH}?rows=5&events=2")).json()

    text_ = printed(told)

    grant = told["grants"][0]["id"]
    assert "balance 0, overage 2.5, access no" in text_
    assert "used 12.5 of 10" in text_
    assert f"10 {grant}" in text_
    assert "2026-03-05 06:30" in text_
    assert "there are more events" in text_


async def test_brackets_in_ids_are_printed_as_they_are(app):
    await app.entitled()
    app.use(1, -1, id="[red]x[/red]")

    assert "[red]x[/red]" in printed((await app.get(PATH)).json())


def test_a_server_that_is_not_there_is_one_line_and_exit_code_1():
    found = CliRunner().invoke(commands, ["explain", "acme", "tokens", "--url", "http://127.0.0.1:9"])  # fmt: skip

    assert found.exit_code == 1
    assert found.output.count("\n") == 1
    assert "does not answer" in found.output


def test_an_answer_of_the_api_is_printed_as_json_with_json(monkeypatch):
    asked = []
    monkeypatch.setattr("runtime.explain._ask", lambda *given: asked.append(given) or {"at": "now"})

    found = CliRunner().invoke(
        commands,
        [
            "explain",
            "a/b",
            "tokens",
            "--json",
            "--at",
            text(0),
            "--events",
            "3",
            "--url",
            "http://x",
        ],
    )

    assert json.loads(found.output) == {"at": "now"}
    assert asked == [("http://x", "a/b", "tokens", {"rows": "0", "events": "3", "time": text(0)})]
