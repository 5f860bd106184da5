"""Problems of v3 that say by their type what was wrong with the request. Source: metering §11.10, §11.19."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import metrics
from api.answers import json_bytes
from api.observed import REQUEST_ID_HEADER, request_id_of
from domain.errors import Refused

log = logging.getLogger(__name__)

_TYPES = "https://kongapi.info/konnect/"


class InvalidParameters(Refused):
    """The request does not have the form that the contract gives it; `parameters` names what is wrong, and how."""

    def __init__(
        self, reason: str, field: str, *, rule: str | None = None, source: str = ""
    ) -> None:
        super().__init__("invalid_parameters", reason, field)
        self.parameters: Sequence[dict[str, str]] = (
            {
                "field": field,
                **({} if rule is None else {"rule": rule}),
                "reason": reason,
                "source": source,
            },
        )


def bad_request(request: Request, error: Refused) -> Response:
    """400 with what is wrong."""
    if isinstance(error, InvalidParameters):
        parameters = list(error.parameters)
    else:
        parameters = [{"field": error.field or "", "reason": str(error), "source": ""}]
    return _problem(request, 400, "bad-request", error.code, str(error), parameters)


def not_found(request: Request, detail: str) -> Response:
    """404 for a path that nothing can be at."""
    return _problem(request, 404, "not-found", "not_found", detail, None)


def _problem(
    request: Request, status: int, kind: str, code: str, detail: str, parameters: Any
) -> Response:
    request_id = request_id_of(request.scope)
    metrics.problems.labels(code).inc()
    log.info(
        "request refused",
        extra={
            "method": request.method,
            "route": request.scope.get("route_template"),
            "status": status,
            "code": code,
            "request_id": request_id,
        },
    )
    problem = {
        "type": _TYPES + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:request:{request_id}",
    }
    if parameters is not None:
        problem["invalid_parameters"] = parameters
    return Response(
        json_bytes(problem),
        status,
        {REQUEST_ID_HEADER: request_id},
        media_type="application/problem+json",
    )
