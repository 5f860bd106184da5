"""Kafka and ClickHouse are killed in the middle and come back on the same port with the same data."""

import pytest

from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.service import free_port
from tests.conftest import start, stop
from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
def own(request, tmp_path):
    """A service that the test may kill: prepared, started, stopped at the end."""
    running = []

    def run(service):
        running.append((service, start(service, tmp_path)))
        return running[-1][1]

    yield run
    for service, process in reversed(running):
        stop(service, process)


def test_clickhouse_killed_in_the_middle_means_lag_and_nothing_else(
    own, zygote, kafka_address, unique, tmp_path
):
    engine = prepare_clickhouse(tmp_path, free_port())
    process = own(engine)
    cluster = Cluster(zygote, kafka_address, engine.address, unique, tmp_path)
    try:
        cluster.work.publish_meters()
        worker = cluster.worker().start().wait_ready()
        cluster.work.burst(300)
        cluster.wait_exact()

        process.kill()
        process.wait()
        ends = cluster.work.burst(500)
        worker.wait_until(
            lambda: all(
                ends.get(p["partition"], 0) <= p["source_next"] >> 20 for p in worker.status()
            ),
            what="folding without ClickHouse",
        )
        own(engine)

        cluster.wait_exact(90)
        assert worker.process.poll() is None
        cluster.check_state()
    finally:
        cluster.stop()


def test_kafka_killed_in_the_middle_loses_and_doubles_nothing(
    own, zygote, clickhouse_url, unique, tmp_path
):
    broker = prepare_kafka(tmp_path, free_port(), free_port())
    process = own(broker)
    cluster = Cluster(zygote, broker.address, clickhouse_url, unique, tmp_path)
    try:
        cluster.work.publish_meters()
        cluster.worker().start().wait_ready()
        cluster.work.burst(300)

        process.kill()
        process.wait()
        own(broker)
        cluster.work.burst(500)

        cluster.wait_exact(120)
        cluster.check_state()
    finally:
        cluster.stop()
