"""On real processes: whatever the catalog does and whenever the worker is killed, the api answers the log at one moment.

The moment of an answer is one that ClickHouse held while it was asked: for each partition a position that was visible
between the read of `visible` before the question and the one after it. So answers never go back, are never made of two
moments of a partition, and never leave out what could be seen before. The log is read from the topic at the end.
"""

import contextlib
import itertools
import random
import threading
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from domain.metering.filters import TextOp, TextTest
from domain.metering.meter import Aggregation
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from schemas.partitioner import partition_of
from schemas.position import position
from tests import oracle
from tests.builders import a_meter, an_event
from tests.stack import start_stack, stop_stack
from tests.topics import read_all
from tests.workers import EventProducer
from tests.workload import connect

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

PARTITIONS = 4
NOON = int(datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp())
SUBJECTS = [f"s{i}" for i in range(8)]
GROUPS = [{}, {"g": "$.g"}, {"g": "$.h", "a": "$.g"}]
MOMENTS_MAX = 2_000
"""Combinations of positions tried for an answer that mixes partitions."""

decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Sender(threading.Thread):
    """Sends events until told to stop: late, doubled, several to a record."""

    def __init__(self, kafka: str, namespace: str, seed: int):
        super().__init__(daemon=True)
        self._producer = EventProducer(kafka, namespace)
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._count = 0

    def run(self):
        while not self._ended.wait(0.02):
            for _ in range(self._random.randrange(1, 6)):
                subject = self._random.choice(SUBJECTS)
                events = [self._event(subject) for _ in range(self._random.choice((1, 1, 3)))]
                self._producer.send(events if len(events) > 1 else events[0], subject)

    def _event(self, subject: str) -> dict:
        pick = self._random
        self._count += 1
        number = pick.randrange(max(0, self._count - 50), self._count) if pick.random() < 0.1 else self._count  # fmt: skip
        at = datetime.fromtimestamp(NOON + pick.choice((0, 1, 61, 3_600, -86_400)) + number % 50, UTC)  # fmt: skip
        return an_event(
            f"e{number}", subject=subject, time=at.isoformat(), type=pick.choice(("request", "request", "other")),
            n=pick.choice((1, 2, -3, "0.5", "x")), g=pick.choice("ab"), h=pick.choice((None, 7)),
        )  # fmt: skip

    def finish(self) -> dict[int, int]:
        self._ended.set()
        self.join()
        return self._producer.flush()


class History:
    """Changes meters, stops the worker and asks, by chance; keeps what was asked, and when."""

    def __init__(self, stack, kafka: str, clickhouse: str, seed: int):
        self.stack, self.seed = stack, seed
        self.namespace = stack.worker.namespace
        self.random = random.Random(seed)
        self.clickhouse = connect(clickhouse, self.namespace)
        self.clickhouse.command(
            "SYSTEM STOP MERGES visible"
        )  # every position that was visible stays
        self.meters: list[dict] = []
        self.asked: list[tuple] = []

    def visible(self) -> dict[int, int]:
        found = self.clickhouse.query("SELECT partition, max(position) FROM visible GROUP BY 1")
        return dict(found.result_rows)

    def step(self):
        pick = self.random
        chance = pick.random()
        if chance < 0.15 or not self.meters:
            self.create()
        elif chance < 0.3:
            meter = pick.choice(self.meters)
            body = {"groupBy": pick.choice(GROUPS)}
            answer = self.stack.client.put(f"/api/v1/meters/{meter['id']}", json=body)
            assert answer.status_code == 200, answer.text
            meter.update(groupBy=body["groupBy"])
        elif chance < 0.38:
            meter = pick.choice(self.meters)
            assert self.stack.client.delete(f"/api/v1/meters/{meter['id']}").status_code == 204
            meter["deleted"] = True
        elif chance < 0.46:
            pick.choice((self.stack.worker.kill, self.stack.worker.stop))()
            self.stack.worker.start()
        else:
            self.ask(pick.choice(self.meters))

    def create(self):
        """A meter under one of two slugs, once its last holder is gone."""
        free = {"m0", "m1", "m2"} - {m["slug"] for m in self.meters if not m.get("deleted")}
        if free:
            aggregation = self.random.choice(list(Aggregation))
            groups = self.random.choice(GROUPS)
            self.meters.append(
                self.stack.make_meter(self.random.choice(sorted(free)), "request", aggregation.value, groupBy=groups)
            )  # fmt: skip
            self.meters[-1]["groupBy"] = groups

    def ask(self, meter: dict):
        pick = self.random
        keys = sorted(meter["groupBy"])
        size = pick.choice((None, *WindowSize))
        subject = pick.random() < 0.6
        groups = keys if pick.random() < 0.5 else []
        start = pick.choice((None, NOON, NOON + 7, NOON - 86_400))
        only = pick.choice((None, None, SUBJECTS[:3]))
        by = [*groups, *(["subject"] if subject or only else [])]
        parameters = {
            "groupBy": by or None,
            "windowSize": size and size.value,
            "from": start and datetime.fromtimestamp(start, UTC).isoformat(),
            "subject": only,
        }
        test = (f"filterGroupBy[{keys[0]}]", "a") if keys and pick.random() < 0.3 else None
        sent = {key: value for key, value in parameters.items() if value is not None}
        if test:
            sent[test[0]] = test[1]
        before = self.visible()
        rows = self.stack.query(meter["id"], **sent)
        after = self.visible()
        query = self._query(meter, size, start, groups, "subject" in by, only, bool(test))
        self.asked.append((query, before, after, rows))

    def _query(self, meter, size, start, groups, by_subject, only, filtered) -> MeterQuery:
        asked = a_meter(
            meter["slug"], id=meter["id"], aggregation=meter["aggregation"], value="$.n",
            groups=dict(meter["groupBy"]), namespace=self.namespace,
        )  # fmt: skip
        key = sorted(meter["groupBy"])[0] if filtered else ""
        return MeterQuery(
            meter=asked, start=start, asked_from=start, window_size=size, by_subject=by_subject,
            group_by=tuple(groups), subjects=tuple(only) if only else None,
            group_filters=((key, TextTest(TextOp.IN, ("a",))),) if filtered else (),
        )  # fmt: skip

    # -- what is true

    def check(self, kafka: str):
        log = the_log(kafka, self.namespace)
        found = self.clickhouse.query("SELECT DISTINCT partition, position FROM visible ORDER BY 2")
        moments = [
            [at for p, at in found.result_rows if p == number] for number in range(PARTITIONS)
        ]
        for query, before, after, rows in self.asked:
            possible = [
                [at for at in {*moments[n], before.get(n, 0)} if before.get(n, 0) <= at <= after.get(n, 0)]
                for n in range(PARTITIONS)
            ]  # fmt: skip
            answers = (
                oracle.answer([e for n, at, e in log if at < moment[n]], query)
                for moment in itertools.islice(itertools.product(*possible), MOMENTS_MAX)
            )
            assert any(shown(answer) == comparable(rows) for answer in answers), (
                f"seed {self.seed}: {query} between {before} and {after}: {rows}"
            )


def the_log(kafka: str, namespace: str) -> list[tuple[int, int, oracle.Event]]:
    """(partition, position, event) of the events topic."""
    found = []
    for message in read_all(kafka, f"om_{namespace}_events"):
        read = decode(message.value())
        for index, told in enumerate(read if isinstance(read, list) else [read]):
            assert partition_of(told["subject"].encode(), PARTITIONS) == message.partition()
            at = position(message.offset(), index)
            second = int(datetime.fromisoformat(told["time"]).timestamp())
            kept = {name: told[name] for name in ("id", "source", "type", "subject", "data")}
            event = oracle.Event(**kept, second=second, namespace=namespace, position=at)
            found.append((message.partition(), at, event))
    return found


def shown(rows) -> list[tuple]:
    """Rows as the api shows them, values as doubles."""
    return [
        (row.window_start, row.window_end, row.subject, dict(row.groups), float(row.value))
        for row in rows
    ]


def comparable(rows: list[dict]) -> list[tuple]:
    def second(text: str) -> int:
        return int(datetime.fromisoformat(text).timestamp())

    return [
        (second(r["windowStart"]), second(r["windowEnd"]), r["subject"], r["groupBy"], float(r["value"]))
        for r in rows
    ]  # fmt: skip


def play(seed: int, steps: int, folder, kafka: str, postgres: str, clickhouse: str):
    namespace = f"c{seed:x}{random.SystemRandom().randrange(1 << 32):x}"
    stack = start_stack(namespace, folder, kafka, postgres, clickhouse)
    sender = None
    with contextlib.ExitStack() as undo:
        undo.callback(stop_stack, stack)
        history = History(stack, kafka, clickhouse, seed)
        sender = Sender(kafka, namespace, seed)
        sender.start()
        for _ in range(steps):
            history.step()
        ends = sender.finish()
        stack.worker.wait_ready()
        stack.worker.wait_visible(ends)
        for meter in history.meters:
            history.ask(meter)
        history.check(kafka)
        print(f"seed {seed}: {len(history.asked)} answers, {len(history.meters)} meters, {ends}")  # noqa: T201


@pytest.mark.parametrize("seed", [1, 2])
def test_every_answer_is_the_log_at_one_moment(seed, tmp_path, kafka_address, postgres_dsn, clickhouse_url):  # fmt: skip
    play(seed, 60, tmp_path, kafka_address, postgres_dsn, clickhouse_url)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 106))
def test_every_answer_is_the_log_at_one_moment_at_length(seed, tmp_path, kafka_address, postgres_dsn, clickhouse_url):  # fmt: skip
    play(seed, 600, tmp_path, kafka_address, postgres_dsn, clickhouse_url)
