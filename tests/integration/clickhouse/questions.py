"""Random questions to a meter."""

import random
from dataclasses import replace

from domain.metering.filters import AllOf, AnyOf, TextOp, TextTest
from domain.metering.meter import Meter
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from tests.integration.clickhouse.history import SUBJECTS

ZONES = [
    "UTC",
    "",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
]
CUSTOMERS = ["c1", "c2"]
TEXTS = ["a", "b", "", "null", "1.1", "%", "a%", "_", "A", "\\", "a'\\", "\0", "😀", "g" * 400]


def a_filter(rnd: random.Random, texts: list[str]):
    op = rnd.choice(list(TextOp))
    if op in (TextOp.IN, TextOp.NIN):
        return TextTest(op, tuple(rnd.sample(texts, rnd.randint(0, 4))))
    test = TextTest(op, rnd.choice(texts))
    return rnd.choice(
        [test, test, AllOf((test,)), AnyOf((test, TextTest(TextOp.EQ, rnd.choice(texts))))]
    )


def a_bound(rnd: random.Random, seconds: list[int]) -> int | None:
    if rnd.random() < 0.3:
        return None
    at = rnd.choice(seconds) + rnd.choice((-61, -1, 0, 1, 30, 60, 90_000))
    return max(at if rnd.random() < 0.6 else at - at % 60, 0)


def a_question(rnd: random.Random, meter: Meter, seconds: list[int]) -> MeterQuery:
    start, end = a_bound(rnd, seconds), a_bound(rnd, seconds)
    if start is not None and end is not None and start >= end:
        start, end = (end, start) if end < start else (start, start + 1)
    keys = list(meter.group_by)
    size = rnd.choice([None, None, *WindowSize])
    subjects = rnd.choice([None, None, tuple(rnd.sample(SUBJECTS, rnd.randint(0, 3)))])
    customers = None
    if subjects is not None and rnd.random() < 0.6:
        customers = {subject: rnd.choice(CUSTOMERS) for subject in subjects}
    return MeterQuery(
        meter=meter,
        start=start,
        end=end,
        asked_from=start,
        asked_to=end,
        window_size=size,
        zone=rnd.choice(ZONES),
        by_subject=rnd.random() < 0.4,
        group_by=tuple(rnd.sample(keys, rnd.randint(0, len(keys)))),
        subjects=subjects,
        customers=customers,
        group_filters=tuple((key, a_filter(rnd, TEXTS)) for key in keys if rnd.random() < 0.3),
        subject_filters=(a_filter(rnd, SUBJECTS),) if rnd.random() < 0.15 else (),
    )


def everything(meter: Meter) -> MeterQuery:
    """All of a meter, by subject, group and day."""
    return replace(
        MeterQuery(meter=meter, by_subject=True, group_by=tuple(meter.group_by)),
        window_size=WindowSize.DAY,
    )
