"""One blocking ClickHouse client a thread, and what its failures mean."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from urllib3.exceptions import HTTPError

from domain.errors import Unavailable

# Codes that say "not now": no tables or database yet, too many parts, memory, time-out, too many queries, read-only, cannot connect, not enough space.
_NOT_NOW = (60, 81, 159, 160, 202, 209, 210, 241, 242, 243, 252, 999, 279, 319, 1002)
_GATEWAY = (429, 502, 503, 504)

_ANSWER_S = 5.0
"""Longer than a statement may take, so that ClickHouse's own error comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where ClickHouse is and how long a statement may take."""

    url: str
    database: str = "meterstream"
    user: str = "default"
    password: str = ""
    query_timeout_s: float = 30.0


class Clients:
    """Clients for the threads that ask; each is made at its first use."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._local = threading.local()
        self.bounds = {"max_execution_time": math.ceil(options.query_timeout_s)}

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client for this thread; Unavailable when ClickHouse cannot be reached or has no room now."""
        try:
            found = getattr(self._local, "client", None)
            if found is None:
                found = self._local.client = self._connect(self._options.database)
            yield found
        except (ClickHouseError, HTTPError, OSError) as error:
            if is_unavailable(error):
                raise Unavailable(f"ClickHouse: {error}") from error
            raise

    def _connect(self, database: str) -> Any:
        at = urlsplit(self._options.url)
        return clickhouse_connect.get_client(
            host=at.hostname,
            port=at.port,
            interface=at.scheme,
            username=self._options.user,
            password=self._options.password,
            database=database,
            compress=False,
            autogenerate_session_id=False,
            send_receive_timeout=self._options.query_timeout_s + _ANSWER_S,
            connect_timeout=3,
        )

    def create_database(self) -> None:
        """Make the database when it is not there."""
        with _failing_as_unavailable():
            self._connect("default").command(
                f"CREATE DATABASE IF NOT EXISTS `{self._options.database.replace('`', '')}`"
            )


@contextmanager
def _failing_as_unavailable() -> Iterator[None]:
    try:
        yield
    except (ClickHouseError, HTTPError, OSError) as error:
        if is_unavailable(error):
            raise Unavailable(f"ClickHouse: {error}") from error
        raise


def is_unavailable(error: Exception) -> bool:
    """Whether the same statement may succeed later."""
    if isinstance(error, OperationalError | HTTPError | OSError):
        return True
    if isinstance(error, DatabaseError):
        text = str(error)
        return any(
            f"code: {code}," in text or f"Code: {code}." in text for code in _NOT_NOW
        ) or any(f"HTTP status {status}" in text for status in _GATEWAY)
    return False
