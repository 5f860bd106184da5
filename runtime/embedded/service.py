"""What the supervisor needs to know of an embedded service: how to start it and how to see that it answers."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

Probe = Callable[[], bool]
"""True when the service answers; must not block for more than a second or two."""


class ServiceProblem(Exception):
    """A service cannot be set up or started; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A child process: `address` is what others connect to, `role` one of kafka postgres clickhouse api worker."""

    name: str
    role: str
    command: tuple[str, ...]
    address: str
    answers: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    stop_s: float = 20.0


def free_port() -> int:
    """A port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(host: str, port: int) -> bool:
    """Whether `port` can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def accepts_connections(host: str, port: int) -> bool:
    """Whether something listens."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def http_ok(url: str) -> bool:
    """Whether a GET of `url` is answered with 200 within two seconds."""
    at = urlsplit(url)
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    connection = kind(at.hostname or "127.0.0.1", at.port, timeout=2)
    try:
        connection.request("GET", at.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
