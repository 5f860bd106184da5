"""A namespace with its workers, its events and the totals that must come out."""

import shutil
import time
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from runtime.config import Config, KafkaConfig
from runtime.topics import ensure_topics
from schemas import topics
from tests.workers import EventProducer, WorkerProcess
from tests.workload import Workload, events_in_clickhouse, in_clickhouse, in_state
from tests.zygote import Zygote


class Cluster:
    """Workers are made by name and forked from the zygote; whatever they do, `check` says whether totals are exact."""

    def __init__(
        self, zygote: Zygote, kafka: str, clickhouse: str, namespace: str, directory: Path
    ):
        self.zygote = zygote
        self.kafka, self.clickhouse = kafka, clickhouse
        self.namespace, self.directory = namespace, directory
        self.names = topics.names(namespace)
        ensure_topics(Config(namespace=namespace, kafka=KafkaConfig(bootstrap_servers=kafka)))
        self.producer = EventProducer(kafka, namespace)
        self.work = Workload(self.producer, seed=int(namespace, 16) & 0xFFFF)
        self.environment: dict[str, str] = {}
        """Settings of every worker made from here on."""
        self._workers: dict[str, WorkerProcess] = {}

    def worker(self, name: str = "worker-1") -> WorkerProcess:
        if name not in self._workers:
            self._workers[name] = WorkerProcess(
                self.namespace,
                self.directory,
                self.kafka,
                self.clickhouse,
                name=name,
                zygote=self.zygote,
                environment=self.environment,
            )
        return self._workers[name]

    def stop(self):
        for worker in self._workers.values():
            worker.kill()

    def forget_state(self, name: str = "worker-1"):
        shutil.rmtree(self.directory / name / "state", ignore_errors=True)

    def run_until_dead(self, crash_at: str, *, seconds: float = 60, size: int = 40):
        """Start a worker that kills itself at a step, and give it events until it has."""
        worker = self.worker().start(METERSTREAM_CRASH_AT=crash_at)
        deadline = time.monotonic() + seconds
        while worker.process.poll() is None:
            assert time.monotonic() < deadline, f"{crash_at} was not reached: {worker.log()}"
            if worker.ready():
                self.work.burst(size)
            time.sleep(0.05)

    def wait_exact(self, seconds: float = 60):
        """Wait until ClickHouse has what was sent, no more and no less; and until nothing more is to come."""
        expected = self.work.expected()
        deadline = time.monotonic() + seconds
        while self._in_clickhouse() != expected:
            if time.monotonic() > deadline:
                found = self._in_clickhouse()
                wrong = {
                    key: (found.get(key), expected.get(key))
                    for key in found.keys() | expected.keys()
                    if found.get(key) != expected.get(key)
                }
                raise AssertionError(f"(found, expected): {wrong}\n{self._logs()}")
            self.restart_the_dead()
            time.sleep(0.1)
        self.wait_visible(self.producer.flush())
        assert self._in_clickhouse() == expected
        assert events_in_clickhouse(self.clickhouse, self.namespace)["accepted"] == len(
            self.work.accepted
        )

    def wait_visible(self, ends: dict[int, int], seconds: float = 60):
        deadline = time.monotonic() + seconds
        while not self._visible(ends):
            assert time.monotonic() < deadline, f"not visible: {ends} {self._logs()}"
            self.restart_the_dead()
            time.sleep(0.05)

    def _visible(self, ends: dict[int, int]) -> bool:
        seen: dict[int, int] = {}
        for worker in self._workers.values():
            for partition in worker.status():
                seen[partition["partition"]] = partition["visible"] or 0
        return all(seen.get(number, 0) >> 20 >= end for number, end in ends.items())

    def restart_the_dead(self):
        """What a supervisor does."""
        for worker in self._workers.values():
            if worker.process is not None and worker.process.poll() is not None:
                worker.start()

    def check_state(self, name: str = "worker-1"):
        """The state of the only worker, once it has stopped."""
        self.worker(name).stop()
        assert in_state(self.directory, self.namespace, name) == self.work.expected()

    def owned(self, name: str) -> set[int]:
        return {partition["partition"] for partition in self.worker(name).status()}

    def _in_clickhouse(self) -> dict:
        try:
            return in_clickhouse(self.clickhouse, self.namespace)
        except (
            ClickHouseError,
            HTTPError,
            OSError,
        ) as error:  # down, or its tables are still to come
            return {"error": str(error)[:200]}

    def _logs(self) -> str:
        return "\n".join(worker.log() for worker in self._workers.values())
