"""Which of asyncpg's errors mean "try again later"."""

import pytest
from asyncpg import exceptions as pg

from connectors.postgres.pool import failing_as_unavailable
from domain.errors import Unavailable


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        pg.AdminShutdownError("terminating connection due to administrator command"),
        pg.CannotConnectNowError("the database system is starting up"),
        pg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        pg.DeadlockDetectedError("deadlock detected"),
        pg.DiskFullError("no space left on device"),
        pg.QueryCanceledError("canceling statement due to statement timeout"),
        pg.TooManyConnectionsError("sorry, too many clients already"),
        pg.InterfaceError("connection is closed"),
        pg.InterfaceError("pool is closing"),
        # An idle session was told to end, and the question came before its end.
        pg.InternalClientError(
            "cannot switch to state 12; another operation (2) is in progress"
        ),
    ],
)  # fmt: skip
def test_what_may_pass_is_unavailable(error):
    with pytest.raises(Unavailable, match=r"Postgres: ."), failing_as_unavailable():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        pg.UniqueViolationError("duplicate key"),
        pg.PostgresSyntaxError("syntax error"),
        pg.DataError("invalid input for query argument $1"),
        pg.InterfaceError("cannot perform operation: another operation is in progress"),
    ],
)
def test_a_mistake_of_ours_stays_what_it_is(error):
    with pytest.raises(type(error)), failing_as_unavailable():
        raise error
