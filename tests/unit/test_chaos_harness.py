"""The parts of the chaos suite that its verdict rests on."""

import socket
import threading

import pytest

from tests import oracle
from tests.chaos.log import Log
from tests.chaos.prober import Probe
from tests.chaos.proxy import Links
from tests.chaos.report import availability
from tests.chaos.truth import accepted


@pytest.fixture
def echo():
    """The port of a server that says everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def link(echo):
    links = Links()
    yield links.make("a", "b", echo)
    links.close()


def test_a_cut_link_holds_bytes_back_until_it_heals(link):
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"

        link.cut()
        client.sendall(b"two")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(10)
        link.heal()
        client.settimeout(5)

        assert client.recv(10) == b"two"


def test_a_link_that_refuses_says_only_that(link):
    link.refuse(b"no")
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as client:
        client.sendall(b"one")

        assert client.recv(10) == b"no"


def an_event(id, subject="s", position=0):
    return oracle.Event(id=id, subject=subject, type="t", second=0, data={}, position=position)


def test_the_first_event_of_an_identity_counts():
    first, again, other = an_event("1"), an_event("1", position=1), an_event("1", "other")
    log = Log(events=[(0, first), (0, again), (1, other)], broken=set(), astray=0, ends={})

    assert accepted(log) == [(0, first), (1, other)]


def a_probe(at, status, first=None):
    return Probe(
        at=at, kind="read", first=status if first is None else first, status=status, seconds=0.1
    )


def test_availability_counts_what_the_other_api_answered_and_finds_the_gap():
    probes = [
        a_probe(0, 200),
        a_probe(1, 503),
        a_probe(2, 200, first=0),
        a_probe(4, 200),
        a_probe(9, 0),
    ]

    found = availability(probes, "read", [(0, 5)])

    assert (found.asked, found.first, found.good, found.gap_s) == (4, 2, 3, 2)
    assert found.statuses == {"503": 1}
