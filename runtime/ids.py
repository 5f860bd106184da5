"""Makes ids: the one place that joins the clock and the randomness."""

import os

from domain.metering.ulid import RANDOM_BYTES, new_ulid
from runtime import clock


def new_id() -> str:
    """A ULID of now."""
    return new_ulid(clock.now_ms(), os.urandom(RANDOM_BYTES))
