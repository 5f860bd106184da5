"""What tests may do: described only where it can be done (`testing.clock`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from api.openapi.operation import JSON, Answer, Operation
from api.v1 import testing


class ClockAnswer(Struct, kw_only=True):
    """The clock of this process."""

    now: Annotated[datetime, Meta(description="The time that rules go by.")]
    set: Annotated[bool, Meta(description="False: it is the real time.")]
    frozen: Annotated[bool, Meta(description="Whether it stands.")]


_TAG = "service"
_CONTENT = {JSON: ClockAnswer}

OPERATIONS = (
    Operation(
        handler=testing.read,
        id="getTestingClock",
        tag=_TAG,
        summary="Which time do rules go by?",
        answers={200: Answer(says="The time.", content=_CONTENT)},
    ),
    Operation(
        handler=testing.change,
        id="setTestingClock",
        tag=_TAG,
        summary="Set the time that rules go by",
        details="For tests: every process of the namespace follows, this one before the answer. It goes on from there, or stands with `frozen`.",
        body={JSON: testing.ClockChange},
        words={
            "now": "RFC 3339 with a zone; null: the real time again.",
            "frozen": "It does not go on.",
        },
        answers={200: Answer(says="The time from now on.", content=_CONTENT)},
        codes={400: ("clock_frozen_without_now", "time_out_of_range")},
    ),
)
