"""What a stack consists of: which services are embedded and which are real addresses, and how our own processes are run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from runtime.config import Config
from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import Service
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.ports import PortWish
from runtime.supervisor.probes import answers
from runtime.supervisor.state import Member

_US = (sys.executable, "-P", "-m", "runtime.cli")
_API_STOP_S, _WORKER_STOP_S = 25.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One child: `prepare` sets up its data when it is new, may take seconds, and says how to run it."""

    name: str
    role: str
    prepare: Callable[[], Service]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Children in the order in which they matter to the start, services of others, and the API's URL."""

    children: tuple[Wanted, ...]
    external: tuple[Member, ...]
    api_url: str


def check_workers(config: Config, workers: int) -> None:
    """StackProblem when a worker could get no partition."""
    if workers > config.kafka.partitions:
        raise StackProblem(
            f"{workers} workers, but kafka.partitions is {config.kafka.partitions}: a worker more than there are partitions would have nothing "
            "to do"
        )


def port_wishes(config: Config, workers: int) -> list[PortWish]:
    """Who needs a port of this machine."""
    wishes = [
        PortWish(name="api", key="--port or api.port", host=config.api.host, port=config.api.port)
    ]
    if config.kafka.bootstrap_servers is None:
        wishes.append(PortWish(name="kafka", key="kafka.port", port=config.kafka.port))
        wishes.append(PortWish(name="kafka-controller", key="kafka.port"))
    if config.postgres.dsn is None:
        wishes.append(PortWish(name="postgres", key="postgres.port", port=config.postgres.port))
    if config.clickhouse.url is None:
        wishes.append(
            PortWish(name="clickhouse", key="clickhouse.port", port=config.clickhouse.port)
        )
    for number in range(workers):
        port = config.worker.port + number if config.worker.port else 0
        wishes.append(PortWish(name=f"worker-{number + 1}", key="worker.port", port=port))
    return wishes


def make_plan(
    config: Config, home: Path, workers: int, ports: Mapping[str, int], config_file: Path | None
) -> Plan:
    """The stack for `config` in the data directory `home`."""
    environment, embedded, external = _services(config, home, ports)
    if config_file is not None:
        environment["METERSTREAM_CONFIG"] = str(config_file.absolute())
    environment["METERSTREAM_DATA_DIR"] = str(home)
    api_url = f"http://{_reachable(config.api.host)}:{ports['api']}"
    own = [
        _own("api", "api", (), api_url, environment | _api(ports), _API_STOP_S),
        *(
            _own(
                name := f"worker-{number + 1}",
                "worker",
                ("--name", name, "--port", str(ports[name])),
                f"http://127.0.0.1:{ports[name]}",
                environment,
                _WORKER_STOP_S,
            )
            for number in range(workers)
        ),
    ]
    return Plan(children=(*embedded, *own), external=external, api_url=api_url)


def without_password(url: str) -> str:
    """`url` as it may be shown."""
    at = urlsplit(url)
    if at.password is None:
        return url
    return urlunsplit(at._replace(netloc=at.netloc.replace(f":{at.password}@", ":***@")))


def _services(
    config: Config, home: Path, ports: Mapping[str, int]
) -> tuple[dict[str, str], tuple[Wanted, ...], tuple[Member, ...]]:
    """Variables that tell our processes where the services are, the embedded ones, the external ones."""
    variables: dict[str, str] = {}
    embedded: list[Wanted] = []
    external: list[Member] = []

    def service(
        role: str, key: str, given: str | None, here: str, prepare: Callable[[], Service]
    ) -> None:
        if given is None:
            variables[f"METERSTREAM_{key}"] = here
            embedded.append(Wanted(name=role, role=role, prepare=prepare))
        else:
            shown = without_password(given)
            external.append(
                Member(name=role, role=role, address=shown, target=given, external=True)
            )

    kafka, postgres, clickhouse = (
        ports.get(name, 0) for name in ("kafka", "postgres", "clickhouse")
    )
    service(
        "kafka",
        "KAFKA__BOOTSTRAP_SERVERS",
        config.kafka.bootstrap_servers,
        f"127.0.0.1:{kafka}",
        lambda: prepare_kafka(
            home, kafka, ports["kafka-controller"], heap_bytes_max=config.kafka.heap_bytes_max
        ),
    )
    service(
        "postgres",
        "POSTGRES__DSN",
        config.postgres.dsn,
        f"postgresql://postgres@127.0.0.1:{postgres}/postgres",
        lambda: prepare_postgres(home, postgres),
    )
    service(
        "clickhouse",
        "CLICKHOUSE__URL",
        config.clickhouse.url,
        f"http://127.0.0.1:{clickhouse}",
        lambda: prepare_clickhouse(
            home, clickhouse, memory_bytes_max=config.clickhouse.memory_bytes_max
        ),
    )
    return variables, tuple(embedded), tuple(external)


def _own(
    name: str,
    role: str,
    arguments: tuple[str, ...],
    url: str,
    environment: Mapping[str, str],
    stop_s: float,
) -> Wanted:
    service = Service(
        name=name,
        role=role,
        command=(*_US, role, *arguments),
        address=url,
        answers=partial(answers, role, url),
        environment=dict(environment),
        stop_s=stop_s,
    )
    return Wanted(name=name, role=role, prepare=lambda: service)


def _api(ports: Mapping[str, int]) -> dict[str, str]:
    return {"METERSTREAM_API__PORT": str(ports["api"])}


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
