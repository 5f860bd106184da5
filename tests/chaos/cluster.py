"""The whole product with three brokers, in one directory, every connection through a link that can be cut."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from confluent_kafka.admin import AdminClient

from runtime.config import Config, KafkaConfig
from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.kafka import Node, prepare_kafka, random_cluster_id
from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import free_port
from runtime.topics import ensure_topics
from schemas import topics
from tests.chaos.child import Child, MemberChild, ServiceChild
from tests.chaos.guard import Guard
from tests.chaos.proxy import Link, Links
from tests.zygote import Zygote

NAMESPACE = "chaos"
PARTITIONS = 6
BROKERS = 3
APIS = ("api-1", "api-2")
WORKERS = ("worker-1", "worker-2")
SPARE_WORKERS = ("worker-3",)
SESSION_TIMEOUT_S = 6.0
_HEAP_BYTES = 160 << 20
_BROKER_SESSION_MS = 6000
"""A dead broker's leaders move after it (Kafka's default: 9 s, which leaves the api one second of its 10 for everything else)."""
_DATABASE = "chaos"


class Cluster:
    """Brokers, services and members as child processes. Members are `worker-1`… and `api-1`…; targets `broker-1`…, `clickhouse`, `postgres`."""

    def __init__(self, directory: Path, guard: Guard, links: Links, zygote: Zygote):
        self.directory = directory
        self.names = topics.names(NAMESPACE)
        self._guard, self._links, self._zygote = guard, links, zygote
        self._logs = directory / "logs"
        self._logs.mkdir()
        self.on_restart: Callable[[Child], None] = lambda child: None
        """Told of each child that ended by itself and was started again."""
        self.brokers = self._make_brokers()
        self.bootstrap = ",".join(broker.service.address for broker in self.brokers)
        """For the test's own clients, past the links."""
        postgres_port, clickhouse_port = free_port(), free_port()
        self.postgres = self._service(
            "postgres", lambda: prepare_postgres(directory, postgres_port), directory / "postgres"
        )
        self.clickhouse = self._service(
            "clickhouse",
            lambda: prepare_clickhouse(directory, clickhouse_port),
            directory / "clickhouse",
        )
        for member in (*APIS, *WORKERS, *SPARE_WORKERS):
            self._links.make(member, "postgres", postgres_port)
            self._links.make(member, "clickhouse", clickhouse_port)
        self.apis = [self._member(name, ["api"]) for name in APIS]
        self.workers = {name: self._member(name, ["worker", "--name", name]) for name in WORKERS}

    # -- the interface that faults use

    def link(self, source: str, target: str) -> Link:
        return self._links.get(source, target)

    def links_to(self, target: str) -> list[Link]:
        """Of every member."""
        return [self._links.get(member, target) for member in (*APIS, *WORKERS, *SPARE_WORKERS)]

    def links_of(self, source: str) -> list[Link]:
        """To every broker."""
        return [self._links.get(source, f"broker-{number + 1}") for number in range(BROKERS)]

    def add_worker(self) -> MemberChild:
        name = next(name for name in SPARE_WORKERS if name not in self.workers)
        worker = self._member(name, ["worker", "--name", name])
        self.workers[name] = worker
        worker.start()
        return worker

    def remove_worker(self, name: str) -> None:
        self.workers.pop(name).stop()

    def environment(self, member: str) -> dict[str, str]:
        """The configuration of a member: every address is a link's."""
        at = urlsplit(self.postgres.service.address)
        postgres = self._links.get(member, "postgres").port
        doors = self._links.get(member, "broker-1"), *self.links_of(member)[1:]
        return {
            "METERSTREAM_NAMESPACE": NAMESPACE,
            "METERSTREAM_DATA_DIR": str(self.directory / "members"),
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": ",".join(
                f"127.0.0.1:{door.port}" for door in doors
            ),
            "METERSTREAM_KAFKA__PARTITIONS": str(PARTITIONS),
            "METERSTREAM_KAFKA__REPLICATION_FACTOR": str(BROKERS),
            "METERSTREAM_KAFKA__SESSION_TIMEOUT": f"{SESSION_TIMEOUT_S:.0f}s",
            "METERSTREAM_CLICKHOUSE__URL": f"http://127.0.0.1:{self._links.get(member, 'clickhouse').port}",
            "METERSTREAM_CLICKHOUSE__DATABASE": _DATABASE,
            "METERSTREAM_POSTGRES__DSN": f"postgresql://{at.username}@127.0.0.1:{postgres}{at.path}",
        }

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def children(self) -> list[Child]:
        return [
            *self.brokers, self.postgres, self.clickhouse, *self.workers.values(), *self.apis
        ]  # fmt: skip

    def visible(self) -> dict[int, int]:
        """Up to which offset of each partition of events ClickHouse has everything, by what the workers say."""
        seen: dict[int, int] = {}
        for worker in list(self.workers.values()):
            for one in worker.status():
                offset = (one["visible"] or 0) >> 20
                seen[one["partition"]] = max(seen.get(one["partition"], 0), offset)
        return seen

    # -- the run

    def start(self) -> None:
        for child in (*self.brokers, self.postgres, self.clickhouse):
            child.start()
        for child in (*self.brokers, self.postgres, self.clickhouse):
            child.wait_ready(90)
        self._make_topics()
        for member in (*self.apis, *self.workers.values()):
            member.start()
        for member in (*self.apis, *self.workers.values()):
            member.wait_ready(90)

    def restart_the_dead(self) -> None:
        """What a supervisor does with members and services that ended by themselves."""
        for child in self.children():
            if child.wanted and not child.alive:
                self.on_restart(child)
                child.start()

    def stop(self) -> None:
        members = [*self.workers.values(), *self.apis]
        for child in (*members, self.clickhouse, self.postgres, *self.brokers):
            child.kill()

    def _make_topics(self) -> None:
        kafka = KafkaConfig(
            bootstrap_servers=self.bootstrap, partitions=PARTITIONS, replication_factor=BROKERS
        )
        ensure_topics(Config(namespace=NAMESPACE, kafka=kafka))

    def _make_brokers(self) -> list[ServiceChild]:
        cluster_id = random_cluster_id()
        voters = {number: free_port() for number in range(1, BROKERS + 1)}
        brokers = []
        for number, voter in voters.items():
            doors = {}
            for member in (*APIS, *WORKERS, *SPARE_WORKERS):
                bound = free_port()
                link = self._links.make(member, f"broker-{number}", bound)
                doors[member.replace("-", "_").upper()] = (bound, link.port)
            node = Node(
                id=number,
                cluster_id=cluster_id,
                voters=voters,
                doors=doors,
                settings={"broker.session.timeout.ms": str(_BROKER_SESSION_MS)},
            )
            home, port = self.directory / f"broker-{number}", free_port()
            brokers.append(
                self._service(
                    f"broker-{number}",
                    lambda home=home, port=port, voter=voter, node=node: prepare_kafka(
                        home, port, voter, heap_bytes_max=_HEAP_BYTES, node=node
                    ),
                    home,
                )
            )
        return brokers

    def _service(self, name, prepare, home: Path) -> ServiceChild:
        return ServiceChild(name, prepare, home, self._logs, self._guard)

    def _member(self, name: str, arguments: list[str]) -> MemberChild:
        return MemberChild(
            name,
            arguments,
            free_port(),
            self.environment(name),
            self.directory / "members" / name,
            self._logs / f"{name}.log",
            self._guard,
            self._zygote,
        )


@contextmanager
def a_cluster(*, keep: Path | None = None) -> Iterator[Cluster]:
    """Running and ready; whatever happens, nothing of it is left at the end. `keep`: where its logs are copied to."""
    directory = Path(tempfile.mkdtemp(prefix="meterstream-chaos-"))
    with ExitStack() as ending:
        guard = Guard(directory)
        ending.callback(guard.close)
        links = Links()
        ending.callback(links.close)
        zygote = Zygote()
        ending.callback(zygote.close)
        cluster = Cluster(directory, guard, links, zygote)
        if keep is not None:
            ending.callback(
                lambda: shutil.copytree(directory / "logs", keep / "logs", dirs_exist_ok=True)
            )
        ending.callback(cluster.stop)
        began = time.monotonic()
        cluster.start()
        cluster.started_s = time.monotonic() - began
        yield cluster
