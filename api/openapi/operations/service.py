"""The process itself: health, metrics, version, this document."""

from __future__ import annotations

from typing import Any

from api import health
from api.openapi import serving
from api.openapi.answers import Readiness, Version
from api.openapi.operation import JSON, Answer, Operation
from api.v1 import debug

_TAG = "service"
_TEXT = "text/plain; charset=utf-8"

OPERATIONS = (
    Operation(
        handler=health.ready,
        id="getReadiness",
        tag=_TAG,
        summary="Can requests be served?",
        answers={
            200: Answer(says="Yes.", content={JSON: Readiness}),
            503: Answer(says="Not now.", content={JSON: Readiness}),
        },
        waits_for_services=False,
    ),
    Operation(
        handler=health.live,
        id="getLiveness",
        tag=_TAG,
        summary="Does the process run?",
        answers={200: Answer(says="Yes.", content={_TEXT: str})},
        waits_for_services=False,
    ),
    Operation(
        handler=health.metrics,
        id="getMetrics",
        tag=_TAG,
        summary="Metrics for Prometheus",
        answers={200: Answer(says="Prometheus' text format.", content={"text/plain": str})},
        waits_for_services=False,
    ),
    Operation(
        handler=debug.metrics,
        id="getDebugMetrics",
        tag=_TAG,
        summary="The day's events by subject",
        details=f"Counted events since 00:00 UTC by their own time, in OpenMetrics' text form; the {debug.SUBJECTS_MAX:,} subjects with the most.",
        answers={200: Answer(says="OpenMetrics' text form.", content={_TEXT: str})},
    ),
    Operation(
        handler=health.show_version,
        id="getVersion",
        tag=_TAG,
        summary="What runs here",
        answers={200: Answer(says="The version.", content={JSON: Version})},
        waits_for_services=False,
    ),
    Operation(
        handler=serving.as_json,
        id="getOpenApi",
        tag=_TAG,
        summary="This document",
        answers={200: Answer(says="OpenAPI 3.1.", content={JSON: dict[str, Any]})},
        waits_for_services=False,
    ),
    Operation(
        handler=serving.as_yaml,
        id="getOpenApiYaml",
        tag=_TAG,
        summary="This document as YAML",
        answers={200: Answer(says="OpenAPI 3.1.", content={"application/yaml": str})},
        waits_for_services=False,
    ),
    Operation(
        handler=serving.page,
        id="getDocs",
        tag=_TAG,
        summary="A page to read this document and try it",
        answers={200: Answer(says="The page.", content={"text/html": str})},
        waits_for_services=False,
    ),
    Operation(
        handler=serving.asset,
        id="getDocsAsset",
        tag=_TAG,
        summary="A part of the page",
        answers={
            200: Answer(
                says="The part.",
                content={"text/javascript": str, "text/css": str, "image/png": bytes},
            )
        },
        codes={404: ()},
        waits_for_services=False,
    ),
)
