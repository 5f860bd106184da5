"""ClickHouse's engine behind HTTP: the unmodified client, bounds, and what a kill leaves."""

import signal
import threading
import time

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.service import free_port
from tests.conftest import start, stop

pytestmark = pytest.mark.integration

ODD = "a\\tb\t\n'\"\\ é ;-- {p:String}"
SLOW = "SELECT sleepEachRow(0.1) FROM numbers(1000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.service = prepare_clickhouse(folder, free_port())
        self.process = start(self.service, folder)

    def client(self, **options):
        host, port = self.service.address.removeprefix("http://").split(":")
        return clickhouse_connect.get_client(
            host=host, port=int(port), compress=False, autogenerate_session_id=False, **options
        )

    def kill_and_start(self):
        self.process.kill()
        self.process.wait()
        self.process = start(self.service, self.folder)

    def ask(self, sql, **parameters):
        return httpx.post(self.service.address, content=sql, params=parameters, timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a server? with&odd name")
    server = Server(folder)
    yield server
    stop(server.service, server.process)


@pytest.fixture
def table(server, unique):
    """In a database of its own: what chDB calls `default` looks names up among files, too."""
    server.client().command(f"CREATE DATABASE d_{unique}")
    server.client().command(
        f"CREATE TABLE d_{unique}.t (i UInt64, s String) ENGINE = MergeTree ORDER BY i SETTINGS non_replicated_deduplication_window = 100"
    )
    return f"d_{unique}.t"


def rows_of(server, table):
    return server.client().query(f"SELECT count(), sum(i) FROM {table}").result_rows[0]


def insert(server, table, rows, token):
    server.client().insert(
        table, rows, column_names=["i", "s"], settings={"insert_deduplication_token": token}
    )


def test_text_of_any_kind_goes_in_and_comes_out(server, table):
    insert(server, table, [[1, ODD]], "a")

    found = server.client().query(
        f"SELECT s, {{p:String}} FROM {table} WHERE s = {{p:String}}", parameters={"p": ODD}
    )

    assert found.result_rows == [(ODD, ODD)]


def test_a_statement_may_be_longer_than_a_url(server):
    assert len(server.ask(f"SELECT '{'x' * 200_000}'").text) == 200_001


def test_a_repeated_block_is_dropped_also_after_a_kill_and_nothing_acknowledged_is_lost(
    server, table
):
    rows = [[i, "x"] for i in range(50_000)]

    insert(server, table, rows, "block-1")
    insert(server, table, rows, "block-1")
    server.kill_and_start()
    insert(server, table, rows, "block-1")
    insert(server, table, [[7, "y"]], "block-2")
    server.kill_and_start()

    assert rows_of(server, table) == (50_001, sum(range(50_000)) + 7)


def test_an_insert_that_fails_leaves_nothing(server, table):
    answer = server.ask(f'INSERT INTO {table} (i, s) FORMAT JSONEachRow\n{{"i": 1}}\n{{"i": bad')

    assert answer.status_code == 500
    assert answer.headers["X-ClickHouse-Exception-Code"] == "27"
    assert rows_of(server, table) == (0, 0)
    assert list((server.folder / "clickhouse" / "inserting").iterdir()) == []


def test_settings_hold_for_one_statement_and_are_no_sql(server):
    first = server.ask("SELECT getSetting('max_threads')", max_threads="7")
    second = server.ask("SELECT getSetting('max_threads')")
    quoted = server.ask("SELECT getSetting('log_comment')", log_comment="'; DROP TABLE x --")
    named = server.ask("SELECT 1", **{"max_threads = 1; DROP TABLE x --": "1"})

    assert (first.text, second.text) == ("7\n", "2\n")
    assert quoted.text == "\\'; DROP TABLE x --\n"
    assert named.headers["X-ClickHouse-Exception-Code"] == "115"


def test_a_database_name_is_no_sql(server):
    answer = server.ask("SELECT 1", database="x`; DROP DATABASE default")

    assert answer.headers["X-ClickHouse-Exception-Code"] == "81"
    assert server.ask("SELECT 1", database="default").text == "1\n"


def test_a_get_only_reads_and_web_pages_get_nothing(server):
    write = httpx.get(server.service.address, params={"query": "CREATE DATABASE nope"})
    page = httpx.post(server.service.address, content="SELECT 1", headers={"Origin": "http://evil"})

    assert write.headers["X-ClickHouse-Exception-Code"] == "164"
    assert page.headers["X-ClickHouse-Exception-Code"] == "497"


def test_slow_reads_end_in_time_and_do_not_hold_up_inserts(server, table):
    failures = []

    def read_slowly():
        with pytest.raises(DatabaseError) as error:
            server.client().query(SLOW, settings={"max_execution_time": 4})
        failures.append((str(error.value), time.monotonic() - began))

    readers = [threading.Thread(target=read_slowly) for _ in range(6)]
    client = server.client()
    began = time.monotonic()
    for reader in readers:
        reader.start()
    client.insert(table, [[1, "x"]], column_names=["i", "s"])
    inserted_after = time.monotonic() - began
    for reader in readers:
        reader.join()

    assert inserted_after < min(after for _, after in failures)
    assert all("159" in text for text, _ in failures)


def test_a_statement_that_takes_too_much_memory_fails_alone(server):
    answer = server.ask("SELECT groupArray(number) FROM numbers(500000000)")

    assert answer.headers["X-ClickHouse-Exception-Code"] == "241"
    assert server.ask("SELECT 1").text == "1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked(server, number):
    server.process.send_signal(number)

    assert server.process.wait(20) == 0
    server.process = start(server.service, server.folder)
