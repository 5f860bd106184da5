"""Errors as problem documents (RFC 9457): the one table from what went wrong to an HTTP status. Source: metering §0.3."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api import metrics
from api.answers import json_bytes
from api.observed import REQUEST_ID_HEADER, request_id_of
from domain.entitlements.entitlement import Overlap
from domain.errors import (
    Conflict,
    DomainError,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Refused,
    Unavailable,
)

log = logging.getLogger(__name__)

STATUS: dict[type[Exception], int] = {
    Refused: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    ClientDisconnect: 408,
    Unavailable: 503,
}
STATUS_OF_CODE = {"body_too_large": 413, "event_too_large": 413, "body_too_slow": 408}

_RETRY_AFTER_S = "1"


def on_known(request: Request, error: Exception) -> Response:
    """The answer to an error of the table."""
    status = _status_of(error)
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    return _answer(request, status, error, str(error), _extensions(error), headers)


def on_http(request: Request, error: Exception) -> Response:
    """Unknown paths and methods: no detail."""
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, error, headers=error.headers or {})


def on_unknown(request: Request, error: Exception) -> Response:
    """Ours: the cause goes to the log, never to the client."""
    return _answer(request, 500, error)


HANDLERS = {
    **dict.fromkeys(STATUS, on_known),
    DomainError: on_known,
    HTTPException: on_http,
    Exception: on_unknown,
}


def _status_of(error: Exception) -> int:
    if isinstance(error, Refused) and error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)


def _extensions(error: Exception) -> dict[str, Any] | None:
    """Every refusal has its code and the field, for programs; a conflict of entitlements names the other one."""
    if not isinstance(error, DomainError):
        return None
    issue: dict[str, Any] = {"code": error.code, "message": str(error), "severity": "critical"}
    if isinstance(error, Refused):
        issue |= error.attributes
        if error.field is not None:
            issue["field"] = error.field
    found: dict[str, Any] = {"validationErrors": [issue]}
    if isinstance(error, Overlap):
        found["conflictingEntityId"] = error.conflicting
    return found


def _answer(
    request: Request,
    status: int,
    error: Exception,
    detail: str = "",
    extensions: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    request_id = request_id_of(request.scope)
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
    }
    if detail:
        problem["detail"] = detail
    problem["instance"] = f"urn:request:{request_id}"
    if extensions:
        problem["extensions"] = extensions
    _log(request, status, error, request_id)
    return Response(
        json_bytes(problem),
        status,
        {**(headers or {}), REQUEST_ID_HEADER: request_id},
        media_type="application/problem+json",
    )


def _log(request: Request, status: int, error: Exception, request_id: str) -> None:
    code = error.code if isinstance(error, DomainError) else type(error).__name__
    metrics.problems.labels(code).inc()
    fields = {
        "method": request.method,
        "route": request.scope.get("route_template"),
        "status": status,
        "code": code,
        "request_id": request_id,
    }
    if status == 500:
        log.error("request failed", extra=fields, exc_info=error)
    elif status > 500:
        log.warning("request failed", extra={**fields, "cause": str(error)})
    else:
        log.info("request refused", extra=fields)
