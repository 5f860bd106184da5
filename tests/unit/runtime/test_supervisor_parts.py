"""The parts of the supervisor that need no services."""

import os
import socket
import subprocess
import sys

import psutil
import pytest

from runtime.supervisor.backoff import Backoff, BackoffOptions
from runtime.supervisor.data_dir import Locked, hold
from runtime.supervisor.errors import StackProblem
from runtime.supervisor.log_files import LogFile
from runtime.supervisor.plan import without_password
from runtime.supervisor.ports import PortWish, choose_ports
from runtime.supervisor.processes import find, identify, stop_all
from runtime.supervisor.state import Member, RunState, read_state, write_state


def a_backoff():
    return Backoff(BackoffOptions(delay_s_min=0.2, delay_s_max=3, forget_after_s=30))


def test_each_quick_death_doubles_the_wait_up_to_a_bound():
    backoff = a_backoff()

    assert [backoff.after(1) for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 3, 3]


def test_there_is_no_last_try():
    backoff = a_backoff()

    assert {backoff.after(0) for _ in range(5000)} == {0.2, 0.4, 0.8, 1.6, 3}


def test_a_long_life_forgets_earlier_deaths():
    backoff = a_backoff()
    for _ in range(10):
        backoff.after(1)

    assert backoff.after(31) == 0.2


def a_log(tmp_path, text="", **bounds):
    log = LogFile(path=tmp_path / "x.log", **({"bytes_max": 100, "files_max": 2} | bounds))
    log.path.write_text(text)
    return log


def test_a_log_past_its_bound_is_turned_while_its_writer_goes_on(tmp_path):
    log = a_log(tmp_path)
    writer = log.open()

    for number in range(5):
        os.write(writer, f"{number}".encode() * 150)
        log.turn()
    os.write(writer, b"after")
    os.close(writer)

    assert log.path.read_text() == "after"
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["x.log", "x.log.1", "x.log.2"]
    assert (tmp_path / "x.log.1").read_text() == "4" * 150


def test_a_log_without_older_files_is_only_emptied(tmp_path):
    log = a_log(tmp_path, "x" * 200, files_max=0)

    log.turn()

    assert [(p.name, p.stat().st_size) for p in tmp_path.iterdir()] == [("x.log", 0)]


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same(tmp_path):
    log = a_log(tmp_path, "x" * 200)
    (tmp_path / "x.log.1" / "in the way").mkdir(parents=True)
    (tmp_path / "x.log.2" / "in the way").mkdir(parents=True)

    log.turn()

    assert log.path.stat().st_size == 0


def test_the_last_line_of_a_log_is_the_last_with_text(tmp_path):
    assert a_log(tmp_path, "a\nb\n\n").last_line() == "b"
    assert LogFile(path=tmp_path / "none.log", bytes_max=1, files_max=1).last_line() == ""


def test_ports_of_the_last_time_come_again_unless_taken():
    wishes = [PortWish(name="a", key="a.port"), PortWish(name="b", key="b.port")]
    first = choose_ports(wishes, {})

    again = choose_ports(wishes, first)
    with socket.create_server(("127.0.0.1", first["a"])):
        beside = choose_ports(wishes, first)

    assert again == first
    assert beside["a"] != first["a"]
    assert beside["b"] == first["b"]


def test_a_configured_port_goes_before_one_of_the_last_time():
    free = choose_ports([PortWish(name="x", key="x")], {})["x"]

    chosen = choose_ports(
        [PortWish(name="a", key="a.port"), PortWish(name="b", key="b.port", port=free)], {"a": free}
    )

    assert chosen["b"] == free
    assert chosen["a"] != free


def test_a_port_that_two_want_is_named():
    free = choose_ports([PortWish(name="x", key="x")], {})["x"]
    wishes = [
        PortWish(name="a", key="a.port", port=free),
        PortWish(name="b", key="b.port", port=free),
    ]

    with pytest.raises(StackProblem, match=r"wanted twice, by a and by b: change b\.port"):
        choose_ports(wishes, {})


def test_chosen_ports_lie_below_those_of_outgoing_connections():
    chosen = choose_ports([PortWish(name=str(i), key="k") for i in range(50)], {})

    assert len(set(chosen.values())) == 50
    assert max(chosen.values()) < 32_768


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def command_of(process):
    return psutil.Process(process.pid).cmdline()


def test_a_process_is_known_by_pid_start_and_command(sleeper):
    known = identify(sleeper.pid, ("launch", "--", *command_of(sleeper)))
    structs = {"pid": sleeper.pid, "began": known.began, "command": known.command}

    assert find(known).pid == sleeper.pid
    assert find(type(known)(**(structs | {"began": known.began - 60}))) is None
    assert find(type(known)(**(structs | {"command": ("java",)}))) is None
    assert find(None) is None


def test_what_is_left_is_stopped_and_named(sleeper):
    member = Member(
        name="kafka",
        role="kafka",
        address="a",
        target="a",
        process=identify(sleeper.pid, command_of(sleeper)),
    )

    assert stop_all([member], 5) == ["kafka"]
    assert sleeper.poll() is not None
    assert stop_all([member], 5) == []


def test_the_state_survives_and_is_private(tmp_path):
    state = RunState(
        ports={"api": 1}, members=(Member(name="n", role="api", address="a", target="t"),)
    )

    write_state(tmp_path, state)

    assert read_state(tmp_path) == state
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")

    with pytest.raises(StackProblem, match=r"run\.json cannot be read"):
        read_state(tmp_path)


def test_a_directory_has_one_holder(tmp_path):
    with hold(tmp_path), pytest.raises(Locked):
        hold(tmp_path)

    hold(tmp_path).close()


def test_passwords_are_not_shown():
    assert without_password("postgresql://me:s3cret@db:5432/x") == "postgresql://me:***@db:5432/x"
    assert without_password("http://127.0.0.1:8123") == "http://127.0.0.1:8123"
    assert without_password("a:9092,b:9092") == "a:9092,b:9092"
