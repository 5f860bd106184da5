"""Worker processes for tests: start, kill, wait; and what a producer does."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
from confluent_kafka import Producer

from runtime.embedded.service import free_port
from schemas import topics
from schemas.catalog import CatalogRecord, MeterRecord, catalog_key, encode_catalog_record
from tests.zygote import Forked, Zygote

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class WorkerProcess:
    """`meterstream worker` as a child, restartable on the same data directory."""

    namespace: str
    data_dir: Path
    kafka: str
    clickhouse: str
    name: str = "worker-1"
    environment: dict = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    zygote: Zygote | None = None
    process: subprocess.Popen | Forked | None = None

    def start(self, **environment):
        settings = {
            "METERSTREAM_NAMESPACE": self.namespace,
            "METERSTREAM_DATA_DIR": str(self.data_dir),
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "METERSTREAM_CLICKHOUSE__URL": self.clickhouse,
            "METERSTREAM_CLICKHOUSE__DATABASE": f"t_{self.namespace}",
            "METERSTREAM_POSTGRES__DSN": "postgresql://unused",
            "METERSTREAM_SINK__INTERVAL": "20ms",
        }
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / f"{self.name}.log"
        arguments = ["worker", "--name", self.name, "--port", str(self.port)]
        environment = {**settings, **self.environment, **environment}
        if self.zygote is not None:
            self.process = self.zygote.spawn(arguments, environment, path)
            return self
        with path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime.cli", *arguments],
                env={**os.environ, **environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return self

    def log(self) -> str:
        return (self.data_dir / f"{self.name}.log").read_text()[-6000:]

    def status(self) -> list[dict]:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/status", timeout=2).json()["partitions"]
        except httpx.HTTPError:
            return []

    def balances(self) -> list[dict]:
        """The balance partitions that it follows, with their role."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/status", timeout=2).json()["balances"]
        except httpx.HTTPError:
            return []

    def ready(self) -> bool:
        try:
            return (
                httpx.get(f"http://127.0.0.1:{self.port}/healthz/ready", timeout=2).status_code
                == 200
            )
        except httpx.HTTPError:
            return False

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=2).text
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)
        )

    def wait_until(self, condition, seconds=60, what="condition"):
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process is None or self.process.poll() is None, (
                f"worker died waiting for {what}: {self.log()}"
            )
            assert time.monotonic() < deadline, (
                f"no {what} in {seconds} s: {self.status()} {self.log()}"
            )
            time.sleep(0.02)

    def wait_ready(self, seconds=60):
        self.wait_until(self.ready, seconds, "ready worker")
        return self

    def wait_visible(self, ends: dict[int, int], seconds=60):
        """Wait until everything before these offsets can be read."""

        def done():
            seen = {p["partition"]: p["visible"] or 0 for p in self.status()}
            return all(seen.get(number, 0) >> 20 >= end for number, end in ends.items() if end)

        self.wait_until(done, seconds, f"visible {ends}")

    def wait_dead(self, seconds=60):
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class EventProducer:
    """A producer as users write one: librdkafka with Java's partitioner; remembers where each partition ends."""

    def __init__(self, kafka: str, namespace: str, compression: str = "lz4"):
        self.names = topics.names(namespace)
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.max.bytes": 64_000_000,
                "compression.type": compression,
                "log_level": 0,
            }
        )
        self.ends: dict[int, int] = {}

    def send(
        self,
        event: dict | list | bytes | None,
        key: str | bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int = 0,
    ):
        value = event if isinstance(event, bytes | None) else msgspec.json.encode(event)
        if key is None and not isinstance(event, bytes | None):
            key = event[0]["subject"] if isinstance(event, list) else event["subject"]
        where = {} if partition is None else {"partition": partition}
        self._producer.produce(
            self.names.events,
            value,
            key,
            on_delivery=self._delivered,
            timestamp=timestamp_ms,
            **where,
        )
        self._producer.poll(0)

    def publish_meter(self, meter: MeterRecord, version: int):
        self.publish(CatalogRecord(kind="meter", version=version, meter=meter))

    def publish(self, record: CatalogRecord):
        self._producer.produce(
            self.names.catalog, encode_catalog_record(record), catalog_key(record)
        )
        self.flush()

    def flush(self):
        assert self._producer.flush(30) == 0
        return dict(self.ends)

    def _delivered(self, error, message):
        assert error is None, error
        self.ends[message.partition()] = max(
            self.ends.get(message.partition(), 0), message.offset() + 1
        )
