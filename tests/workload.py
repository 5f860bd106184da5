"""Events whose totals are known, and those totals as ClickHouse and the state of workers have them."""

import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import clickhouse_connect

from domain.metering.rows import merge
from schemas import state, topics
from tables.store import PartitionStore, SharedMemory, StoreOptions
from tests.builders import ULIDS, a_meter_record, an_event

TOKENS, CALLS, USERS, LEVEL, BY_MODEL = ULIDS[:5]
METERS = [
    a_meter_record("tokens", id=TOKENS, aggregation="SUM", value="$.tokens"),
    a_meter_record("calls", id=CALLS, aggregation="COUNT"),
    a_meter_record("users", id=USERS, aggregation="UNIQUE_COUNT", value="$.user"),
    a_meter_record("level", id=LEVEL, aggregation="LATEST", value="$.level"),
    a_meter_record(
        "by_model", id=BY_MODEL, aggregation="SUM", value="$.tokens", groups={"model": "$.model"}
    ),
]
_SUBJECTS = 12
_DAY_S = 86_400


class Workload:
    """Sends events out of order, some twice, some packed into arrays, some to a partition that is not theirs."""

    def __init__(self, producer, seed: int):
        self._producer = producer
        self._random = random.Random(seed)
        self._seconds = defaultdict(lambda: self._random.sample(range(_DAY_S), _DAY_S // 8))
        self.accepted: dict[str, dict] = {}
        self._repeatable: list[dict] = []
        self.sent = 0

    def publish_meters(self):
        for version, meter in enumerate(METERS, 1):
            self._producer.publish_meter(meter, version)

    def burst(self, count: int, *, timestamp_ms: int = 0, astray: float = 0.03):
        """Send events; `astray` of them to a partition of another subject, whose owner moves them on, now."""
        chance = self._random.random
        for _ in range(count):
            again = bool(self._repeatable) and chance() < 0.1
            event = self._random.choice(self._repeatable) if again else self._new()
            events = [event]
            if chance() < 0.1:
                events += [self._new(event["subject"]) for _ in range(2)]
            wrong = {"partition": self._random.randrange(4)} if chance() < astray else {}
            self._producer.send(
                events if len(events) > 1 else event,
                event["subject"],
                timestamp_ms=timestamp_ms,
                **wrong,
            )
            self.sent += len(events)
        return self._producer.flush()

    def forget(self):
        """Repeat nothing that was sent so far: the dedupe window forgets it."""
        self._repeatable.clear()

    def _new(self, subject: str | None = None):
        pick = self._random
        subject = subject or f"subject-{pick.randrange(_SUBJECTS)}"
        second = self._seconds[subject].pop()
        event = an_event(
            f"e{len(self.accepted)}",
            subject=subject,
            time=f"2026-03-05T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z",
            tokens=pick.choice([1, 7, "0.1", 1000]),
            user=f"u{pick.randrange(40)}",
            level=pick.randrange(1000),
            model=pick.choice(["small", "large"]),
        )
        self.accepted[event["id"]] = event
        self._repeatable.append(event)
        return event

    def expected(self) -> dict:
        """(meter, subject, groups) → (count, total or distinct values or latest)."""
        counts, found = defaultdict(int), defaultdict(list)
        for event in self.accepted.values():
            subject, data = event["subject"], event["data"]
            tokens = Decimal(data["tokens"])
            for key, value in (
                ((TOKENS, subject, ()), tokens),
                ((CALLS, subject, ()), 0),
                ((USERS, subject, ()), data["user"]),
                ((LEVEL, subject, ()), (event["time"], data["level"])),
                ((BY_MODEL, subject, (data["model"],)), tokens),
            ):
                counts[key] += 1
                found[key].append(value)
        whole = {}
        for key, values in found.items():
            match key[0]:
                case m if m in (TOKENS, BY_MODEL):
                    value = sum(values)
                case m if m == USERS:
                    value = len(set(values))
                case m if m == LEVEL:
                    value = max(values)[1]
                case _:
                    value = 0
            whole[key] = (counts[key], Decimal(value))
        return whole


def connect(url: str, namespace: str):
    host, port = url.removeprefix("http://").split(":")
    return clickhouse_connect.get_client(
        host=host, port=int(port), database=f"t_{namespace}", compress=False
    )


def in_clickhouse(url: str, namespace: str) -> dict:
    """The same as `expected`, out of the rows that ClickHouse has."""
    client = connect(url, namespace)
    rows = client.query(
        "SELECT meter, subject, groups, sum(count), sum(total), argMax(latest, (latest_time, latest_position)) "
        "FROM usage FINAL GROUP BY meter, subject, groups"
    ).result_rows
    distinct = client.query(
        "SELECT subject, uniqExact(hash) FROM uniques WHERE meter = {m:String} GROUP BY subject",
        parameters={"m": USERS},
    ).result_rows
    users = dict(distinct)
    found = {}
    for meter, subject, groups, count, total, latest in rows:
        value = users.get(subject, 0) if meter == USERS else latest if meter == LEVEL else total
        found[meter, subject, tuple(groups)] = (count, Decimal(value or 0))
    return found


def events_in_clickhouse(url: str, namespace: str) -> dict[str, int]:
    rows = connect(url, namespace).query(
        "SELECT toString(verdict), count() FROM (SELECT DISTINCT partition, position, verdict FROM events) GROUP BY 1"
    )
    return dict(rows.result_rows)


def rows_in_state(data_dir: Path, namespace: str, name: str = "worker-1") -> dict:
    """Key in the usage topic → row, and unique keys, of every partition's state under a stopped worker."""
    events = topics.names(namespace).events
    found = {}
    for path in sorted((data_dir / name / "state").glob(f"{events}-*")):
        options = StoreOptions()
        store = PartitionStore(path, SharedMemory(options), options)
        try:
            found |= _rows_of(store)
        finally:
            store.close()
    return found


def _rows_of(store: PartitionStore) -> dict:
    found = {}
    for week in store._weeks.live():
        for keys in store.weekly_keys(week):
            rows = [key[1:] for key in keys if key[:1] == state.ROW]
            for key, stored in zip(rows, store.rows_of(week, rows), strict=True):
                row = state.decode_row(stored)
                found[state.usage_key(key, row.epoch)] = row
            found |= {key[1:]: None for key in keys if key[:1] == state.UNIQUE}
    return found


def in_state(data_dir: Path, namespace: str, name: str = "worker-1") -> dict:
    """The same as `expected`, out of the state; exact when no week has been dropped."""
    rows, uniques = {}, set()
    for key, row in rows_in_state(data_dir, namespace, name).items():
        if row is None:
            uniques.add(key)
            continue
        at = state.decode_row_key(key[:-8])
        whose = (at.meter, at.subject, at.groups)
        rows.setdefault(whose, []).append((key, row))
    found = {}
    for whose, several in rows.items():
        whole = several[0][1]
        for _, row in several[1:]:
            whole = merge(whole, row)
        value = whole.total
        if whose[0] == LEVEL:
            value = whole.latest.value
        if whose[0] == USERS:
            hashes = {state.unique_key(key[:-8], b"") for key, _ in several}
            value = len({unique[16:] for unique in uniques if unique[:16] in hashes})
        found[whose] = (whole.count, Decimal(value))
    return found
