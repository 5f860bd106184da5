"""The balances of a worker, wired: the usage topic, the owners topic, states on disk, history, and the door for questions."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from connectors.clickhouse.client import Clients
from connectors.clickhouse.usage_series import SeriesOptions, UsageSeries
from connectors.kafka import owners_topic, usage_feed
from runtime import clock
from runtime.balances.announcing import Announcing, AnnouncingOptions
from runtime.balances.answering import Answering
from runtime.balances.endpoint import InternalEndpoint, balances_endpoint
from runtime.balances.followed import Followed
from runtime.balances.following import Following, FollowingOptions
from runtime.balances.holding import Holding
from runtime.balances.ports import BalancePartition
from runtime.balances.states import States
from runtime.balances.working import Working, WorkingOptions
from runtime.config import Config
from runtime.topology.parts import Wires
from schemas import topics
from schemas.partitioner import partition_of
from schemas.topics import Role
from streams.balances import metrics, partition
from streams.steps import StepHook, unwatched
from tables.balances import open_balances
from tables.catalog import CatalogView
from tables.options import SharedMemory

_HISTORY_THREADS = 2
_NOT_KNOWN = float("nan")


class Balancing:
    """What the agent holds, in the order it is started."""

    def __init__(
        self,
        config: Config,
        wires: Wires,
        *,
        name: str,
        url: str,
        home: Path,
        catalog: CatalogView,
        memory: SharedMemory,
        clients: Clients,
        topic_id: Callable[[str], Awaitable[str]],
        restored: Callable[[], bool],
        backlogged: Callable[[], bool],
        on_failure: Callable[[BaseException], None],
        reached: StepHook = unwatched,
    ) -> None:
        """`name` is unique among the workers of the namespace; `restored`: the group's last decision is carried out."""
        servers = config.kafka.bootstrap_servers
        assert servers is not None
        self._config = config
        self._usage_topic = wires.reads(Role.USAGE)
        self._catalog = catalog
        self._memory = memory
        self._restored = restored
        self._ask_topic_id = topic_id
        self._topic_id = ""
        self._history = UsageSeries(
            clients,
            namespace=config.namespace,
            topic=topics.names(config.namespace).events,
            threads=_HISTORY_THREADS,
            options=SeriesOptions(rows_max=config.balances.history_rows_max),
        )
        self._feed = usage_feed.UsageFeed(
            usage_feed.Options(bootstrap_servers=servers, topic=self._usage_topic), on_failure
        )
        assert wires.reads(Role.OWNERS) == wires.writes(Role.OWNERS)
        self._board = owners_topic.OwnersTopic(
            owners_topic.Options(
                bootstrap_servers=servers,
                topic=wires.writes(Role.OWNERS),
                dead_after_s=config.balances.owner_dead_after.total_seconds(),
            )
        )
        self._working = Working(
            lambda: self.followed.values(),
            backlogged=backlogged,
            freed=self._feed.wake,
            options=WorkingOptions(share=config.balances.share),
        )
        self._following = Following(
            self._feed,
            States(home, self._usage_topic, lambda: clock.wall_ms() / 1000),
            open_partition=self._open,
            live=self._board.live,
            wake=self._working.wake,
            now_ms=clock.wall_ms,
            options=FollowingOptions(
                name=name,
                partitions=config.kafka.partitions,
                standbys=config.balances.standbys,
                bytes_max=config.balances.buffer_bytes_max,
                keep_s=config.balances.keep_state.total_seconds(),
            ),
        )
        self._board.on_change = self._following.changed.set
        self._announcing = Announcing(
            self._board,
            self._following,
            AnnouncingOptions(
                name=name, url=url, every_s=config.balances.announce_interval.total_seconds()
            ),
            clock.wall_ms,
        )
        self._answering = Answering(
            catalog,
            followed=self.followed,
            owns=self.owns,
            partition_of=lambda id: partition_of(id.encode(), config.kafka.partitions),
            now=clock.now,
            catalog_wait_s=config.balances.catalog_wait.total_seconds(),
        )
        catalog.on_change(lambda record: self._working.wake())
        self._holding = Holding(
            config,
            wires,
            home=home.with_name("holds"),
            catalog=catalog,
            memory=memory,
            followed=lambda: self.followed,
            owns=self.owns,
            topic_id=topic_id,
            reached=reached,
            on_failure=on_failure,
        )

    # -- what others see

    @property
    def followed(self) -> dict[int, Followed]:
        """The partitions whose balances are here, by number."""
        return self._following.followed

    def owns(self, number: int) -> bool:
        """Whether this worker is the one that writes for a partition: owned, restored, and not being given up."""
        return number in self._following.owned and self._restored()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the worker's HTTP server."""
        given = self._config.worker.secret
        namespace = self._config.namespace
        secret = None if given is None else given.get_secret_value()
        bytes_max = self._config.balances.ask_bytes_max
        balances = balances_endpoint(
            self._answering.tell, namespace=namespace, secret=secret, bytes_max=bytes_max
        )
        holds = InternalEndpoint(
            "/internal/holds",
            self._holding.tell,
            namespace=namespace,
            secret=secret,
            bytes_max=bytes_max,
        )
        return [balances.route(), holds.route()]

    def describe(self) -> Sequence[dict[str, Any]]:
        """For the worker's status."""
        return [
            {
                "partition": number,
                "role": "owner" if self.owns(number) else "standby",
                "as_of_ms": one.partition.as_of_ms,
                "next_offset": one.partition.next_offset,
            }
            for number, one in sorted(self.followed.items())
        ]

    def observe(self) -> None:
        """Set the gauges; called at a scrape."""
        metrics.lag_records.clear()
        metrics.lag_seconds.clear()
        for number, one in self.followed.items():
            label, lag, as_of = str(number), self._feed.lag(number), one.partition.as_of_ms
            if lag is not None:
                metrics.lag_records.labels(label).set(lag)
            behind_s = (clock.wall_ms() - as_of) / 1000 if as_of else _NOT_KNOWN
            metrics.lag_seconds.labels(label).set(behind_s)

    # -- life

    async def start(self) -> None:
        """Follow what was followed before; returns when it answers."""
        self._topic_id = await self._ask_topic_id(self._usage_topic)
        await self._holding.start()
        await self._feed.start()
        self._board.start()
        await self._following.resume()

    def tasks(self) -> Sequence[Awaitable[None]]:
        """What runs until the worker stops."""
        return [self._working.run(), self._announcing.run(), self._holding.run()]

    def own(self, numbers: Iterable[int], generation: int) -> None:
        """The group gave this worker these partitions."""
        self._following.own(numbers, generation)

    async def leave(self) -> None:
        """Tell all others that this worker stops; it still answers."""
        await self._announcing.leave()

    async def stop(self) -> None:
        """Stop reading and close the states. The tasks have ended."""
        await self._holding.stop()
        await self._feed.stop()
        await self._following.close()
        await self._board.stop()
        self._history.close()

    def _open(self, number: int, path: Path) -> BalancePartition:
        partitions = self._config.kafka.partitions
        store = open_balances(
            path, self._memory, topic_id=self._topic_id, partition=number, partitions=partitions
        )
        return partition.BalancePartition(
            store,
            self._catalog,
            self._history,
            number=number,
            now=clock.now,
            options=partition.BalanceOptions(
                partitions=partitions,
                keep=self._config.balances.keep,
                accounts_max=self._config.balances.accounts_max,
                rows_max=self._config.balances.rows_max,
                load_accounts_max=self._config.balances.load_accounts_max,
            ),
            held=self._holding.held_of(number),
        )


def url_of(config: Config, listener: socket.socket) -> str:
    """Where other processes reach the worker that listens there."""
    host = config.worker.advertised_host or config.worker.host
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
