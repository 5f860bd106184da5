"""`GET /api/v1/stream/balances`: changes of balances as server-sent events. Beside the contract: docs/streaming-balances.md."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Annotated

import anyio
import msgspec
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import metrics
from api.balances.calls import balance_calls_of
from api.balances.routes import refuse_missing
from api.parsing import read_query
from api.routing import Resource
from api.streaming.hub import Hub
from api.streaming.position import TEXT_LENGTH_MAX, read_position
from api.streaming.session import SEPARATOR, Session, why_not_resumed
from api.streaming.subscriber import Wanted
from domain.errors import Refused, Unavailable
from schemas.balances import Question, Value

log = logging.getLogger(__name__)

_NAMES_MAX = 100
_SHUTDOWN_GRACE_S = 2.0

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=_NAMES_MAX)]


class StreamQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """Whose changes, and where to begin."""

    customer: _Names | None = None
    feature: _Names | None = None
    snapshot: bool = False
    last_event_id: Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)] | None = None


async def stream(request: Request) -> Response:
    """Every change from now on, or from where the client was."""
    query = read_query(request, StreamQuery)
    if query.snapshot and not query.customer:
        raise Refused("snapshot_needs_customer", "a snapshot is of named customers", "snapshot")
    hub = hub_of(request)
    place = ExitStack()
    place.enter_context(hub.admitted())
    try:
        session = await _session(request, query, hub)
    except BaseException:
        place.close()
        raise
    return _Answer(session, place)


async def _session(request: Request, query: StreamQuery, hub: Hub) -> Session:
    """Everything that may be refused is, before the stream begins. Refused, NotFound, PreconditionFailed, Unavailable."""
    given = request.headers.get("last-event-id") or query.last_event_id
    since = None if given is None else read_position(given[:TEXT_LENGTH_MAX])
    await hub.begin()
    begin = hub.position
    why = None if since is None else await why_not_resumed(hub, since)
    return Session(
        hub=hub,
        wanted=Wanted(customers=_set(query.customer), features=_set(query.feature)),
        since=begin if since is None or why is not None else since,
        reset=why,
        snapshot=await _snapshot(request, query) if query.snapshot and since is None else (),
    )


async def _snapshot(request: Request, query: StreamQuery) -> list[tuple[Value, int]]:
    """The values of the customers, each with what it is as of."""
    questions = [Question(customer=name) for name in query.customer or ()]
    reads = await balance_calls_of(request).balances.values(questions)
    for question, read in zip(questions, reads, strict=True):
        refuse_missing(read, question.customer)
    wanted = _set(query.feature)
    return [
        (value, read.as_of_ms)
        for read in reads
        for value in read.values
        if wanted is None or value.feature_key in wanted or value.feature_id in wanted
    ]


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def hub_of(request: Request) -> Hub:
    """Of the application. Unavailable when it has none."""
    found: Hub | None = request.app.state.hub
    if found is None:
        raise Unavailable("starting")
    return found


class _Answer(EventSourceResponse):
    """Gives the client's place back when it ends, however it ends; ends in good order when the process is to stop."""

    def __init__(self, session: Session, place: ExitStack) -> None:
        self._session, self._place = session, place
        self._stopping = anyio.Event()
        super().__init__(
            session.events(),
            ping=0,
            sep=SEPARATOR,
            send_timeout=session.hub.bounds.send_s_max,
            shutdown_event=self._stopping,
            shutdown_grace_period=_SHUTDOWN_GRACE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        with self._place:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._close_in_time)
                    await super().__call__(scope, receive, send)
                    tasks.cancel_scope.cancel()
            except* SendTimeoutError:
                metrics.streams_cut.inc()
                log.info("a stream was cut: its client took nothing for too long")

    async def _close_in_time(self) -> None:
        await self._stopping.wait()
        self._session.close()


BALANCES = Resource("/api/v1/stream/balances", {"GET": stream})
