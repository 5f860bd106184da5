"""Commands beside a running `meterstream up` find its services in the data directory."""

import os

import psutil
import pytest

from runtime.config import Config, KafkaConfig, PostgresConfig
from runtime.running import on_running_services
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.state import Member, RunningProcess, RunState, write_state


def a_member(role, target, *, pid=None, external=False):
    process = None
    if pid is not None:
        alive = psutil.Process(pid)
        process = RunningProcess(pid=pid, began=alive.create_time(), command=tuple(alive.cmdline()))
    return Member(
        name=role, role=role, address=target, target=target, external=external, process=process
    )


def test_addresses_come_from_what_runs(tmp_path):
    kafka = a_member("kafka", "127.0.0.1:1", pid=os.getpid())
    write_state(tmp_path, RunState(members=(kafka, a_member("postgres", "dsn", external=True))))

    found = on_running_services(Config(), tmp_path)

    assert (found.kafka.bootstrap_servers, found.postgres.dsn) == ("127.0.0.1:1", "dsn")


def test_clickhouse_is_looked_for_by_those_who_need_it(tmp_path):
    kafka = a_member("kafka", "127.0.0.1:1", pid=os.getpid())
    database = a_member("postgres", "dsn", external=True)
    write_state(tmp_path, RunState(members=(kafka, database)))
    with pytest.raises(StackProblem, match=r"clickhouse\.url"):
        on_running_services(Config(), tmp_path, with_clickhouse=True)

    clickhouse = a_member("clickhouse", "http://127.0.0.1:2", pid=os.getpid())
    write_state(tmp_path, RunState(members=(kafka, database, clickhouse)))

    found = on_running_services(Config(), tmp_path, with_clickhouse=True)
    assert found.clickhouse.url == "http://127.0.0.1:2"


def test_configured_addresses_win(tmp_path):
    kafka = a_member("kafka", "127.0.0.1:1", pid=os.getpid())
    write_state(tmp_path, RunState(members=(kafka,)))
    config = Config(
        kafka=KafkaConfig(bootstrap_servers="far:9092"), postgres=PostgresConfig(dsn="far")
    )

    assert on_running_services(config, tmp_path) == config


@pytest.mark.parametrize("members", [(), (a_member("kafka", "127.0.0.1:1"),)])
def test_what_does_not_run_is_named(tmp_path, members):
    write_state(tmp_path, RunState(members=members))

    with pytest.raises(StackProblem, match="meterstream up"):
        on_running_services(Config(), tmp_path)
