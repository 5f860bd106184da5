"""Ports: the configured ones, else those of the last time, else free ones that no outgoing connection can take."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from runtime.embedded.service import port_is_free
from runtime.supervisor.errors import StackProblem

_RANGE = (20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections: a service that is down for a moment finds its port again."""
_TRIES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PortWish:
    """Who wants a port. `port` 0 = any; `key` is what a person would change."""

    name: str
    key: str
    host: str = "127.0.0.1"
    port: int = 0


def choose_ports(wishes: Sequence[PortWish], saved: Mapping[str, int]) -> dict[str, int]:
    """A port for each wish, all different. StackProblem when a wanted one is taken."""
    chosen: dict[str, int] = {}
    for wish in sorted(wishes, key=lambda wish: wish.port == 0):
        if wish.port:
            _check(wish, chosen)
            chosen[wish.name] = wish.port
            continue
        last = saved.get(wish.name, 0)
        again = last and last not in chosen.values() and port_is_free(wish.host, last)
        chosen[wish.name] = last if again else _free(wish.host, set(chosen.values()))
    return chosen


def _check(wish: PortWish, chosen: Mapping[str, int]) -> None:
    for name, port in chosen.items():
        if port == wish.port:
            raise StackProblem(
                f"port {port} is wanted twice, by {name} and by {wish.name}: change {wish.key}"
            )
    if not port_is_free(wish.host, wish.port):
        raise StackProblem(
            f"port {wish.port} is taken{_by_whom(wish.port)}, {wish.name} wants it: change {wish.key} (0 = a free one)"
        )


def _free(host: str, taken: set[int]) -> int:
    for _ in range(_TRIES):
        port = random.randrange(*_RANGE)
        if port not in taken and port_is_free(host, port):
            return port
    raise StackProblem(f"no free port between {_RANGE[0]} and {_RANGE[1]}")


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
