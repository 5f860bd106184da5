"""Holds are decided by the worker that owns the customer's partition: nobody else is asked.

A call whose answer does not come is not repeated here: whoever asked asks again, with the same key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from connectors.workers.whom import Whom
from domain.errors import Unavailable
from schemas.balances import Question
from schemas.holds import HoldCall, HoldTold, decode_told, encode_call

PATH = "/internal/holds"
_ROUNDS_MAX = 4
"""A key that nobody knew yet, and a partition that has just been given to another."""


class Calls(Protocol):
    """connectors/workers/calls.py."""

    async def post(self, url: str, path: str, body: bytes) -> bytes | bytearray:
        """The body of the answer. Unavailable."""
        ...


class WorkerHolds:
    """One for a process. `catalog_version`: the newest change that this process has committed."""

    def __init__(self, whom: Whom, calls: Calls, catalog_version: Callable[[], int]) -> None:
        self._whom, self._calls, self._catalog_version = whom, calls, catalog_version

    async def ask(self, call: HoldCall) -> HoldTold:
        """What the owner says. Unavailable."""
        call = msgspec.structs.replace(call, catalog=self._catalog_version())
        question = Question(customer=call.customer)
        partition = self._whom.partition(question)
        tried: set[str] = set()
        for _ in range(_ROUNDS_MAX):
            worker = self._whom.choices().of(partition, tried)
            if worker is None or (partition is not None and partition not in worker.owned):
                break
            tried.add(worker.name)
            told = await self._call(worker.url, call)
            if told.why != "elsewhere":
                return told
            if told.customer_id is not None:
                self._whom.learn(question, told.customer_id)
            if told.partition != partition:
                partition, tried = told.partition, set()
        raise Unavailable("no worker owns the customer's holds: try again")

    async def _call(self, url: str, call: HoldCall) -> HoldTold:
        try:
            return decode_told(await self._calls.post(url, PATH, encode_call(call)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"worker {url}: {error}") from error
