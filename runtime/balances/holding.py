"""Holds, and the publication of balances, beside the partitions that are followed: wired, and kept in step with them.

What is followed has its holds followed; what is owned has its holds decided and its balances published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

from connectors.kafka import balances_topic, holds_topic
from runtime import clock
from runtime.balances.followed import Followed
from runtime.config import Config
from runtime.ids import new_id
from runtime.topology.parts import Wires
from schemas.balance_changes import Cause
from schemas.balances import Answer, Question
from schemas.catalog import CatalogRecord
from schemas.holds import decode_call, encode_told
from schemas.topics import Role
from streams.holds.holds import Clock, Holds, Options
from streams.holds.judging import Rules
from streams.publishing.publisher import Options as PublisherOptions
from streams.publishing.publisher import Publisher
from streams.steps import StepHook
from tables.catalog import CatalogView
from tables.holds import HoldsStore
from tables.options import SharedMemory

_SETTLE_S = 0.05
_STATE_AGE_MAX = timedelta(hours=12)
"""Half of the time for which Kafka keeps tombstones at least: an older state may have missed one."""


class Holding:
    """Settles itself from `start` on."""

    def __init__(
        self,
        config: Config,
        wires: Wires,
        *,
        home: Path,
        catalog: CatalogView,
        memory: SharedMemory,
        followed: Callable[[], Mapping[int, Followed]],
        owns: Callable[[int], bool],
        topic_id: Callable[[str], Awaitable[str]],
        reached: StepHook,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        self._config, self._home, self._memory, self._catalog = config, home, memory, catalog
        self._all_followed, self._owns, self._ask_topic_id = followed, owns, topic_id
        self._on_failure = on_failure
        assert wires.reads(Role.HOLDS) == wires.writes(Role.HOLDS)
        self._topic = wires.writes(Role.HOLDS)
        self._topic_id = ""
        options = holds_topic.Options(
            bootstrap_servers=servers,
            topic=self._topic,
            events_topic=wires.writes(Role.EVENTS),
            request_timeout_s=config.holds.append_timeout.total_seconds(),
        )
        self._log = holds_topic.HoldsTopic(options)
        self._feed = holds_topic.HoldsFeed(options, on_failure)
        assert wires.reads(Role.BALANCES) == wires.writes(Role.BALANCES)
        self._balances = balances_topic.BalancesTopic(
            balances_topic.Options(
                bootstrap_servers=servers,
                topic=wires.writes(Role.BALANCES),
                partitions=config.kafka.partitions,
            )
        )
        self.holds = Holds(
            self._feed,
            self._log,
            catalog,
            open_store=self._open,
            clock=Clock(now=clock.now, wall_ms=clock.wall_ms),
            new_id=new_id,
            options=_holds_options(config),
            reached=reached,
            on_failure=on_failure,
        )
        self._followed: dict[int, Followed] = {}
        self._publishers: dict[int, Publisher] = {}
        self._publishing: dict[int, asyncio.Task[None]] = {}
        catalog.on_change(self._note_management)

    # -- life

    async def start(self) -> None:
        """Returns when holds can be followed."""
        self._topic_id = await self._ask_topic_id(self._topic)
        await self._feed.start()
        self.holds.start()

    async def run(self) -> None:
        """Keep in step until cancelled."""
        while True:
            await self.settle()
            await asyncio.sleep(_SETTLE_S)

    async def settle(self) -> None:
        """Follow and own what the balances do."""
        followed = dict(self._all_followed())
        for number in set(self._followed) - set(followed):
            await self._leave(number)
        for number, one in followed.items():
            if self._followed.get(number) is not one:
                self._follow(number, one)
            if self._owns(number) != (number in self._publishing):
                await self._own(number, owned=self._owns(number))

    async def stop(self) -> None:
        """Decide and publish no more."""
        for number in list(self._followed):
            await self._leave(number)
        await self.holds.stop()
        await self._feed.stop()
        await self._log.stop()
        await self._balances.stop()

    # -- what is asked

    def held_of(self, number: int) -> Callable[[str, datetime], Decimal]:
        """For the balances of a partition: what holds reserve."""
        return partial(self.holds.held, number)

    async def tell(self, body: bytes) -> bytes:
        """The answer to a call of the api. msgspec.DecodeError."""
        return encode_told(await self.holds.ask(decode_call(body)))

    # -- in step

    def _follow(self, number: int, one: Followed) -> None:
        if number not in self._followed:
            self._publishers[number] = Publisher(
                number,
                partial(self._answer, number),
                self._catalog,
                self._balances,
                now=clock.now,
                options=_publisher_options(self._config),
            )
            self.holds.follow(
                number,
                partial(self._source_next, number),
                partial(self._publishers[number].changed, cause=Cause.HOLD),
            )
        self._followed[number] = one
        one.partition.changed = self._publishers[number].changed

    async def _own(self, number: int, *, owned: bool) -> None:
        if owned:
            self.holds.own(number, partial(self._answer, number))
            task = asyncio.create_task(self._publishers[number].run(), name=f"publish-{number}")
            task.add_done_callback(self._done)
            self._publishing[number] = task
            return
        task = self._publishing.pop(number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.holds.disown(number)

    async def _leave(self, number: int) -> None:
        if number in self._publishing:
            await self._own(number, owned=False)
        await self.holds.leave(number)
        del self._followed[number], self._publishers[number]

    def _answer(self, number: int, question: Question, now: datetime) -> Answer:
        one = self._all_followed().get(number)
        return Answer(why="elsewhere") if one is None else one.partition.answer(question, now)

    def _source_next(self, number: int) -> Mapping[int, int]:
        one = self._all_followed().get(number)
        return {} if one is None else one.partition.source_next

    def _note_management(self, record: CatalogRecord) -> None:
        """What causes the next change: of a metered one the balance tells when it is worked in, others changed at once."""
        found = record.entitlement
        if found is None:
            return
        stamps = [
            at for one in found.grants for at in (one.created_at, one.voided_at, one.deleted_at)
        ]
        cause = Cause.GRANT if found.updated_at in stamps else Cause.MANAGEMENT
        publisher = self._publishers.get(self.holds.partition_of(found.customer_id))
        if publisher is None:
            return
        publisher.expect(found.id, cause)
        if found.type != "metered" or found.deleted_at is not None:
            publisher.changed((found.id,))

    def _open(self, number: int) -> HoldsStore:
        return HoldsStore(
            self._home / f"{self._topic}-{number}",
            self._memory,
            topic_id=self._topic_id,
            now_ms=clock.wall_ms(),
            age_ms_max=int(_STATE_AGE_MAX.total_seconds() * 1000),
        )

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)


def _holds_options(config: Config) -> Options:
    holds = config.holds
    return Options(
        partitions=config.kafka.partitions,
        rules=Rules(
            ttl=holds.ttl,
            ttl_max=holds.ttl_max,
            per_entitlement_max=holds.per_entitlement_max,
            active_max=holds.active_max,
            lag_max=holds.lag_max,
        ),
        kept=holds.kept,
        append_s_max=holds.append_timeout.total_seconds(),
    )


def _publisher_options(config: Config) -> PublisherOptions:
    balances = config.balances
    return PublisherOptions(
        interval_s=balances.publish_interval.total_seconds(),
        share=balances.publish_share / config.kafka.partitions,
        waiting_max=balances.publish_waiting_max,
        compare_max=balances.publish_compare_max,
    )
