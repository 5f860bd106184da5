"""`meterstream up`, `status` and `down`, as a person uses them, on real processes."""

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from typer.testing import CliRunner

from runtime import cli
from runtime.embedded.kafka import prepare_kafka
from runtime.embedded.postgres import prepare_postgres
from runtime.embedded.service import ServiceProblem
from tests.meterstream_up import (
    ROOT,
    Stack,
    a_stack,
    make_meter,
    processes_of,
    run,
    send,
    until,
    wait_counted,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROLES = {"supervisor", "kafka", "postgres", "clickhouse", "api", "worker"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """One running stack, in a folder that others may not enter, with a space in its name."""
    folder = tmp_path_factory.mktemp("up") / "a stack"
    folder.mkdir(mode=0o700)
    with a_stack(folder / "data") as stack:
        stack.start().wait_ready()
        yield stack


@pytest.fixture(scope="module")
def api(stack):
    url = stack.wait_ready()
    make_meter(url)
    return url


@pytest.fixture(scope="module")
def sent():
    """Ids of the events that were acknowledged, in all tests of the module."""
    return []


def count_one_more(api, sent):
    sent.append(f"e{len(sent)}")
    send(api, sent[-1])
    wait_counted(api, len(sent))


def test_each_service_has_a_line_and_ready_comes_last(stack):
    said = stack.said()

    assert {line.split()[0] for line in said[:-2]} == {
        "kafka",
        "postgres",
        "clickhouse",
        "topics",
        "api",
        "worker-1",
    }
    assert said[-1].startswith("ready http://127.0.0.1:")
    assert not any("\x1b" in line for line in said)


def test_status_lists_every_role_with_its_process(stack):
    stack.wait_all_ready()

    done = run("status", "--json", "--data-dir", stack.data_dir)
    parts = {part["name"]: part for part in json.loads(done.stdout)}

    assert done.returncode == 0
    assert {part["role"] for part in parts.values()} == ROLES
    assert all(list(p) == ["name", "role", "pid", "address", "ready"] for p in parts.values())
    assert all(psutil.pid_exists(part["pid"]) for part in parts.values())
    assert parts["supervisor"]["pid"] == stack.process.pid
    assert parts["api"]["address"] == stack.wait_ready()


def test_status_is_a_table_for_people(stack):
    done = run("status", "--data-dir", stack.data_dir)

    assert done.returncode == 0
    assert done.stdout.split("\n")[0].split() == ["name", "pid", "ready", "address"]
    assert "\x1b" not in done.stdout


def test_a_second_up_names_the_first(stack):
    done = run("up", "--data-dir", stack.data_dir)

    assert done.returncode == 1
    assert f"pid {stack.process.pid}, {stack.wait_ready()}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["api", "worker-1", "clickhouse", "postgres", "kafka"])
def test_a_killed_child_comes_back_on_its_port_and_events_count(stack, api, sent, name):
    count_one_more(api, sent)
    before = stack.status()[name]

    os.kill(before["pid"], signal.SIGKILL)
    stack.wait(lambda: stack.pid(name) not in (None, before["pid"]), "new pid")
    count_one_more(api, sent)

    after = stack.wait_all_ready()[name]
    assert after["address"] == before["address"]
    assert after["pid"] != before["pid"]
    assert any(line.startswith(f"{name} ended") and "SIGKILL" in line for line in stack.said())


def test_a_killed_supervisor_leaves_nothing_to_the_next_start_and_data_and_ports_stay(
    stack, api, sent
):
    count_one_more(api, sent)
    before = stack.wait_all_ready()

    stack.send_signal(signal.SIGKILL)
    stack.process.wait()
    stack.start()

    assert stack.wait_ready() == api
    after = stack.wait_all_ready()
    assert {n: p["address"] for n, p in after.items()} == {
        n: p["address"] for n, p in before.items()
    }
    assert not [n for n, p in before.items() if psutil.pid_exists(p["pid"])]
    wait_counted(api, len(sent))
    count_one_more(api, sent)


def test_orphans_that_the_kernel_did_not_end_are_stopped_by_down(stack):
    """As on a system without parent death signals: a child that stays when its supervisor is killed."""
    parts = stack.wait_all_ready()
    stopped = psutil.Process(parts["kafka"]["pid"])
    stopped.suspend()  # it cannot follow the kernel's signal now

    stack.send_signal(signal.SIGKILL)
    stack.process.wait()
    left = stack.status()
    stopped.resume()
    done = run("down", "--data-dir", stack.data_dir)

    assert left["kafka"]["pid"] == stopped.pid
    assert "supervisor" not in left
    assert done.returncode == 0
    assert processes_of(stack.data_dir) == []


def test_ctrl_c_stops_everything_in_order_and_leaves_nothing(stack, api, sent):
    stack.start().wait_ready()
    wait_counted(api, len(sent))

    code = stack.stop(signal.SIGINT)

    assert code == 0
    assert processes_of(stack.data_dir) == []
    done = run("status", "--json", "--data-dir", stack.data_dir)
    assert (done.returncode, json.loads(done.stdout)) == (3, [])
    assert stack.said()[-1] == "stopped"


def test_data_of_another_partition_count_is_one_message_and_stays_as_it_was(stack, api, sent):
    message = refused("--data-dir", stack.data_dir, "--port", 0, METERSTREAM_KAFKA__PARTITIONS="8")

    assert "has 4 partitions, kafka.partitions is 8" in message
    assert "set kafka.partitions to 4" in message
    assert message.count("\n") == 0
    assert processes_of(stack.data_dir) == []
    stack.start().wait_ready()
    wait_counted(api, len(sent))


def test_a_second_ctrl_c_kills(tmp_path):
    with a_stack(tmp_path / "data") as stack:
        stack.start().wait_said("postgres ")

        stack.send_signal(signal.SIGINT)
        stack.wait_said("stopping", 20)
        if stack.process.poll() is None:
            stack.send_signal(signal.SIGINT)

        assert stack.process.wait(30) in (0, 130)
        until(lambda: processes_of(stack.data_dir) == [], "end of all processes", 20)


def test_a_stranger_with_a_recorded_pid_is_not_touched(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        data_dir = tmp_path / "data"
        data_dir.mkdir()
        began = psutil.Process(stranger.pid).create_time()
        member = {
            "name": "kafka",
            "role": "kafka",
            "address": "127.0.0.1:1",
            "target": "127.0.0.1:1",
            "process": {"pid": stranger.pid, "began": began, "command": ["java", "kafka.Kafka"]},
        }
        (data_dir / "run.json").write_text(json.dumps({"members": [member]}))

        done = run("down", "--data-dir", data_dir)

        assert done.stdout.startswith("nothing runs")
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def refused(*arguments, **environment):
    done = run("up", *arguments, **environment)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_a_taken_port_is_named_with_its_key_and_holder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        api = refused("--data-dir", tmp_path / "data", "--port", port)
        kafka = refused(
            "--data-dir", tmp_path / "data", "--port", 0, METERSTREAM_KAFKA__PORT=str(port)
        )

    assert f"port {port} is taken" in api
    assert f"(pid {os.getpid()}), api wants it: change --port or api.port" in api
    assert "kafka wants it: change kafka.port" in kafka


def test_a_data_directory_that_cannot_be_used_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    other = tmp_path / "other"
    other.mkdir()
    (other / "VERSION").write_text("99\n")

    assert f"{file} is a file" in refused("--data-dir", file)
    assert f"{file / 'below'}: Not a directory" in refused("--data-dir", file / "below")
    assert "written by another version of meterstream (data version '99'" in refused(
        "--data-dir", other
    )
    assert "MiB are free on this disk" in refused(
        "--data-dir", tmp_path / "new", METERSTREAM_SUPERVISOR__DISK_FREE_BYTES_MIN=str(1 << 60)
    )


def data_written_by(tmp_path, service, file, version):
    folder = tmp_path / "data" / service
    folder.mkdir(parents=True)
    (folder / file).write_text(f"{version}\n")
    return tmp_path / "data"


def test_data_of_another_postgres_is_named(tmp_path):
    data_dir = data_written_by(tmp_path, "postgres", "PG_VERSION", "9")

    with pytest.raises(ServiceProblem, match="was written by PostgreSQL 9, this is 18"):
        prepare_postgres(data_dir, 1)


def test_data_of_a_newer_kafka_is_named(tmp_path):
    data_dir = data_written_by(tmp_path, "kafka", "formatted", "99.0.0")

    with pytest.raises(ServiceProblem, match=r"was written by Kafka 99\.0\.0"):
        prepare_kafka(data_dir, 1, 2)


def test_data_of_a_newer_clickhouse_stops_the_start(tmp_path):
    data_dir = data_written_by(tmp_path, "clickhouse", "engine-version", "99.1.1.1")

    message = refused("--data-dir", data_dir, "--port", 0)

    assert "clickhouse cannot start" in message
    assert "was written by ClickHouse 99.1.1.1" in message
    until(lambda: processes_of(data_dir) == [], "end of all processes")


def test_jars_that_cannot_be_fetched_are_named(tmp_path):
    proxy = "http://127.0.0.1:1"

    message = refused(
        "--data-dir",
        tmp_path / "data",
        "--port",
        0,
        METERSTREAM_CACHE_DIR=str(tmp_path / "cache"),
        HTTPS_PROXY=proxy,
        HTTP_PROXY=proxy,
        https_proxy=proxy,
        http_proxy=proxy,
        HOME=str(tmp_path),
    )

    assert "Kafka 4.2.0 could not be downloaded" in message
    assert "check the network and run it again" in message


def test_a_wrong_key_ends_with_code_2(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("kafka: {bootstrap_server: x}")

    done = run("up", "--config", file, "--data-dir", tmp_path / "data")

    assert done.returncode == 2
    assert done.stderr == (
        f"{file}: kafka.bootstrap_server: no such key, is kafka.bootstrap_servers meant?\n"
    )


def test_more_workers_than_partitions_are_refused(tmp_path):
    assert "5 workers, but kafka.partitions is 4" in refused(
        "--data-dir", tmp_path / "data", "--workers", 5
    )


@pytest.mark.parametrize(
    "command",
    ["up", "status", "down", "api", "worker", "demo"]
    + [f"topology {name}" for name in ("plan", "apply", "describe")],
)
def test_every_command_has_examples(command):
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"])

    assert shown.exit_code == 0
    assert f"meterstream {command}" in shown.stdout


def test_a_relative_directory_and_external_services(
    kafka_address, postgres_dsn, clickhouse_url, tmp_path, unique
):
    environment = {
        "METERSTREAM_NAMESPACE": unique,
        "METERSTREAM_CLICKHOUSE__DATABASE": f"t_{unique}",
        "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka_address,
        "METERSTREAM_POSTGRES__DSN": postgres_dsn,
        "METERSTREAM_CLICKHOUSE__URL": clickhouse_url,
    }
    relative = os.path.relpath(tmp_path / "data", ROOT)
    stack = Stack(tmp_path / "data", ("--port", "0", "--data-dir", relative), environment)
    try:
        stack.start().wait_ready()

        parts = stack.wait_all_ready()
        external = {n: (p["pid"], p["address"]) for n, p in parts.items()}

        assert external["kafka"] == (None, kafka_address)
        assert external["postgres"] == (None, postgres_dsn)
        assert external["clickhouse"] == (None, clickhouse_url)
        assert stack.stop(signal.SIGTERM) == 0
    finally:
        stack.clean_up()
