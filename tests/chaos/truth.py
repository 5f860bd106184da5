"""Whether everything is exact: each check is a line of the report, with the first differences when it fails.

Expected values come from the events that the brokers have, by tests/oracle.py alone; what must be among them, from what was acknowledged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import httpx

from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from schemas.catalog import meter_of
from tests import oracle
from tests.chaos.accounts import GRANTED, value_path
from tests.chaos.cluster import Cluster
from tests.chaos.events import CUSTOMERS, FEATURES, METERS
from tests.chaos.load import Load
from tests.chaos.log import Log, log_ends, read_log, rejected_places
from tests.workers import ROOT

_SHOWN = 5
_READ_S = 60.0
_BALANCES_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`compared`: how many values; `wrong`: the first differences in words, empty when exact."""

    name: str
    compared: int
    differing: int
    wrong: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not self.differing


class Truth:
    """Looks at a cluster that has come to rest: `settle`, then `checks`."""

    def __init__(self, cluster: Cluster, load: Load, since: datetime):
        self._cluster, self._load = cluster, load
        self._since = int(since.timestamp())
        self._read: Log | None = None
        self._accepted: list[tuple[int, oracle.Event]] = []
        self._own: list[oracle.Event] = []

    def settle(self, seconds: float = 120) -> float:
        """Wait until ClickHouse has all that the brokers have; how long it took. TimeoutError."""
        began = time.monotonic()
        while True:
            ends = log_ends(self._cluster.bootstrap, self._cluster.names.events)
            seen = self._cluster.visible()
            behind = {n: end - seen.get(n, 0) for n, end in ends.items() if seen.get(n, 0) < end}
            if not behind:
                break
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"records that ClickHouse does not have yet: {behind}")
            self._cluster.restart_the_dead()
            time.sleep(0.2)
        took = time.monotonic() - began
        self._read = read_log(self._cluster.bootstrap, self._cluster.names.events)
        self._accepted = accepted(self._read)
        self._own = [event for _, event in self._accepted]
        return took

    def checks(self) -> list[Check]:
        return [
            self._acknowledged_are_there(),
            self._nothing_else_is_there(),
            self._verdicts(),
            self._rows(),
            self._uniques(),
            self._rejected(),
            *self._queries(),
            *self._balances(),
            self._reconcile(),
        ]

    # -- what was sent and what the brokers have

    def _acknowledged_are_there(self) -> Check:
        there = {event.id for event in self._own}
        acknowledged = self._load.acknowledged
        return _set_check("acknowledged events are in the log", acknowledged - there, acknowledged)

    def _nothing_else_is_there(self) -> Check:
        there = {event.id for event in self._own}
        return _set_check(
            "events in the log were sent", there - self._load.events.made.keys(), there
        )

    # -- ClickHouse against the log

    def _verdicts(self) -> Check:
        """Each position of the log: accepted the first time, a duplicate afterwards."""
        first = {(number, event.position) for number, event in self._accepted}
        expected = {
            (number, event.position): "accepted"
            if (number, event.position) in first
            else "duplicate"
            for number, event in self._log.events
        }
        found = {
            (number, position): verdict
            for number, position, verdict in self._select(
                "SELECT DISTINCT partition, position, toString(verdict) FROM events"
            )
        }
        return _map_check("ClickHouse: verdict of each event", found, expected)

    def _rows(self) -> Check:
        """Count, and sum or latest value, of each meter, subject and group."""
        slugs = self._slugs()
        found = {
            (slug := slugs[meter], subject, tuple(groups)): (
                int(count),
                Decimal(latest or 0) if slug == "level" else Decimal(total),
            )
            for meter, subject, groups, count, total, latest in self._select(
                "SELECT meter, subject, groups, sum(count), toString(sum(total)), toString(argMax(latest, (latest_time, latest_position))) "
                "FROM usage FINAL GROUP BY meter, subject, groups"
            )
        }
        return _map_check("ClickHouse: rows of usage", found, self._expected_rows())

    def _expected_rows(self) -> dict:
        counts: Counter = Counter()
        values: dict = defaultdict(Decimal)
        latest: dict[str, tuple[int, int]] = {}
        for event in self._own:
            at = (event.second, event.position)
            newest = at > latest.get(event.subject, (0, -1))
            if newest:
                latest[event.subject] = at
            for slug, meter in METERS.items():
                key = (slug, event.subject, tuple(event.data[name] for name in meter.group_by))
                counts[key] += 1
                if slug != "level":
                    values[key] += _numeric(slug, event.data)
                elif newest:
                    values[key] = Decimal(event.data["level"])
        return {key: (counts[key], values[key]) for key in counts}

    def _uniques(self) -> Check:
        users = next(id for id, slug in self._slugs().items() if slug == "users")
        found = {
            subject: int(count)
            for subject, count in self._select(
                f"SELECT subject, uniqExact(hash) FROM uniques WHERE meter = '{users}' GROUP BY subject"
            )
        }
        values = defaultdict(set)
        for event in self._own:
            values[event.subject].add(event.data["user"])
        expected = {subject: len(found) for subject, found in values.items()}
        return _map_check("ClickHouse: distinct values", found, expected)

    def _rejected(self) -> Check:
        found = rejected_places(
            self._cluster.bootstrap, self._cluster.names.rejected, self._cluster.names.events
        )
        broken = self._log.broken
        return _set_check("broken records are in the rejected topic", found ^ broken, broken)

    # -- the api against the log

    def _queries(self) -> Iterable[Check]:
        for slug, record in METERS.items():
            found: dict = {}
            expected: dict = {}
            meter = meter_of(record)
            for window in (None, WindowSize.HOUR):
                query = MeterQuery(
                    meter=replace(meter, namespace="default"),
                    window_size=window,
                    by_subject=True,
                    group_by=tuple(record.group_by),
                )
                for row in oracle.answer(self._own, query):
                    groups = tuple(row.groups.values())
                    start = row.window_start if window else None
                    expected[window, start, row.subject, groups] = float(row.value)
                for row in self._ask_meter(slug, record, window):
                    start = _second(row["windowStart"]) if window else None
                    groups = tuple(row["groupBy"][name] for name in record.group_by)
                    found[window, start, row["subject"], groups] = float(row["value"])
            yield _map_check(f"query of {slug}", found, expected)

    def _ask_meter(self, slug, record, window) -> list[dict]:
        parameters = {"groupBy": ["subject", *record.group_by]}
        if window is not None:
            parameters["windowSize"] = window.value
        api = self._cluster.apis[0]
        answer = httpx.get(
            f"{api.url}/api/v1/meters/{slug}/query", params=parameters, timeout=_READ_S
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def _balances(self) -> Iterable[Check]:
        """By each api; patiently, because a worker may have a moment to go."""
        expected = self._expected_balances()
        for api in self._cluster.apis:
            deadline = time.monotonic() + _BALANCES_S
            while True:
                found, sources = self._read_balances(api.url)
                check = _map_check(f"balances by {api.name}", found, expected)
                if check.exact and set(sources) <= {"owner"}:
                    break
                if time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            yield check
            not_owner = {source: count for source, count in sources.items() if source != "owner"}
            yield Check(
                name=f"balances by {api.name} come from their owners",
                compared=sum(sources.values()),
                differing=sum(not_owner.values()),
                wrong=tuple(f"{count} {source}" for source, count in not_owner.items()),
            )

    def _read_balances(self, url: str) -> tuple[dict, Counter]:
        found: dict = {}
        sources: Counter = Counter()
        with httpx.Client(base_url=url, timeout=_READ_S) as client:
            for customer in CUSTOMERS:
                for feature in FEATURES:
                    answer = client.get(value_path(customer, feature))
                    assert answer.status_code == 200, answer.text
                    body = json.loads(answer.text, parse_float=Decimal)
                    found[customer, feature] = (Decimal(body["usage"]), Decimal(body["balance"]))
                    sources[answer.headers["meterstream-source"]] += 1
        return found, sources

    def _expected_balances(self) -> dict:
        subjects = {key: {key, f"{key}-app"} for key in CUSTOMERS}
        of_customer = defaultdict(list)
        for event in self._own:
            if event.second >= self._since:
                of_customer[event.subject.removesuffix("-app")].append(event)
        expected = {}
        for customer in subjects:
            events = of_customer[customer]
            for feature, slug in FEATURES.items():
                if slug == "users":
                    usage = Decimal(len({event.data["user"] for event in events}))
                elif slug == "calls":
                    usage = Decimal(len(events))
                else:
                    usage = sum((_numeric(slug, event.data) for event in events), Decimal(0))
                expected[customer, feature] = (usage, GRANTED - usage)
        return expected

    def _reconcile(self) -> Check:
        member = self._cluster.apis[0]
        done = subprocess.run(
            [sys.executable, "-m", "runtime.cli", "reconcile", "--json"],
            env={**os.environ, **member.environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        wrong = (
            ()
            if done.returncode == 0
            else (f"exit {done.returncode}: {done.stdout[-600:]} {done.stderr[-600:]}",)
        )
        return Check(
            name="meterstream reconcile",
            compared=len(CUSTOMERS) * len(FEATURES),
            differing=len(wrong),
            wrong=wrong,
        )

    # -- help

    @property
    def _log(self) -> Log:
        assert self._read is not None, "settle first"
        return self._read

    def _select(self, sql: str) -> list[list]:
        database = self._cluster.environment("api-1")["METERSTREAM_CLICKHOUSE__DATABASE"]
        answer = httpx.post(
            self._cluster.clickhouse.service.address,
            params={"database": database, "default_format": "JSONCompactEachRow", "output_format_json_quote_64bit_integers": "0"},
            content=sql,
            timeout=_READ_S,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def _slugs(self) -> dict[str, str]:
        """Of each meter id."""
        answer = httpx.get(f"{self._cluster.apis[0].url}/api/v1/meters", timeout=_READ_S)
        return {meter["id"]: meter["slug"] for meter in answer.json()}


def accepted(log: Log) -> list[tuple[int, oracle.Event]]:
    """The first event of each identity, with its partition: a subject's events are in one."""
    seen, kept = set(), []
    for number, event in log.events:
        identity = (event.source, event.id, event.subject)
        if identity not in seen:
            seen.add(identity)
            kept.append((number, event))
    return kept


def _numeric(slug: str, data: Mapping) -> Decimal:
    match slug:
        case "tokens" | "peak" | "by_model":
            return Decimal(data["tokens"])
        case _:
            return Decimal(0)


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _map_check(name: str, found: Mapping, expected: Mapping) -> Check:
    """Every key of either, in a set order."""
    differing = [
        key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)
    ]
    return Check(
        name=name,
        compared=len(expected),
        differing=len(differing),
        wrong=tuple(
            f"{key}: found {found.get(key)}, expected {expected.get(key)}"
            for key in sorted(differing, key=str)[:_SHOWN]
        ),
    )


def _set_check(name: str, wrong: set, all_of_them: Iterable) -> Check:
    return Check(
        name=name,
        compared=len(set(all_of_them)),
        differing=len(wrong),
        wrong=tuple(str(one) for one in sorted(wrong)[:_SHOWN]),
    )
