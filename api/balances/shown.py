"""Values as answers show them, and the headers that say where they come from. Source: metering §5.7, §11.14, §11.15."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from api.answers import json_answer
from api.balances.reading import Read, Source
from api.entitlements.shown import number
from api.times import of_ms
from schemas.balances import Value

AS_OF = "meterstream-as-of"
LAG = "meterstream-lag-ms"
SOURCE = "meterstream-source"

NO_ACCESS: dict[str, Any] = {"hasAccess": False}
_FROM_FAR = (Source.OWNER, Source.STANDBY, Source.RECOMPUTED)


def value_v1(value: Value) -> dict[str, Any]:
    """Of a metered entitlement the numbers, of a static one the configuration; of one that is not active only that."""
    shown: dict[str, Any] = {"hasAccess": value.has_access}
    if value.config is not None:
        shown["config"] = value.config
    if value.balance is not None:
        shown |= {
            "balance": number(value.balance),
            "overage": _number(value.overage),
            "totalAvailableGrantAmount": _number(value.total_available),
            "usage": _number(value.usage),
        }
    return shown


def value_v2(value: Value) -> dict[str, Any]:
    """With what each grant holds. `hasAccess` is always there; the reference leaves it out when it is false."""
    shown = value_v1(value)
    if value.grant_balances is not None:
        shown["grantBalances"] = {id_: number(left) for id_, left in value.grant_balances.items()}
    return shown


def balance_answer(content: Any, reads: Sequence[Read], wall_ms: int) -> Response:
    """`content` with the headers of the reads that it was made of."""
    answer = json_answer(content)
    answer.headers.update(origin(reads, wall_ms))
    return answer


def origin(reads: Iterable[Read], wall_ms: int) -> dict[str, str]:
    """The headers: the oldest of all, and the source that is furthest from the truth. Without a known time only the source."""
    found = list(reads)
    if not found:
        return {}
    source = max((read.source for read in found), key=_FROM_FAR.index)
    return origin_of(source, min(read.as_of_ms for read in found), wall_ms)


def origin_of(source: Source, as_of_ms: int, wall_ms: int) -> dict[str, str]:
    """The headers of one source."""
    if not as_of_ms:
        return {SOURCE: source}
    as_of = of_ms(as_of_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {AS_OF: as_of, LAG: str(max(0, wall_ms - as_of_ms)), SOURCE: source}


def _number(value: Decimal | None) -> int | float:
    return number(value or Decimal(0))
