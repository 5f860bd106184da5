"""Gauges of Postgres are as of the scrape, and no number when nobody knows."""

import asyncio
import math

import pytest
from prometheus_client import REGISTRY

from connectors.postgres.standing import Standing
from domain.errors import Unavailable
from runtime import standing
from runtime.standing import look

NAMES = [
    ("meterstream_outbox_waiting_changes", {}),
    ("meterstream_outbox_oldest_seconds", {}),
    ("meterstream_redrives", {"state": "done"}),
    ("meterstream_redrives", {"state": "begun"}),
]


def values():
    return [REGISTRY.get_sample_value(name, labels) for name, labels in NAMES]


class Source:
    def __init__(self, answer=None):
        self.answer = answer

    async def look(self):
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


SOME = Standing(outbox_waiting=3, outbox_oldest_s=1.5, redrives_done=20, redrives_begun=1)


async def test_the_gauges_are_what_was_found():
    await look(Source(SOME))

    assert values() == [3, 1.5, 20, 1]


@pytest.mark.parametrize("source", [None, Source(Unavailable("down")), Source()])
async def test_without_an_answer_in_time_no_old_number_is_shown(source, monkeypatch):
    monkeypatch.setattr(standing, "LOOK_S_MAX", 0.05)
    await look(Source(SOME))

    await look(source)

    assert all(math.isnan(value) for value in values())
