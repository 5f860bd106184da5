"""Whether a part of the stack answers now, by role and where it is."""

from __future__ import annotations

from runtime.embedded.clickhouse import clickhouse_answers
from runtime.embedded.kafka import kafka_answers
from runtime.embedded.postgres import postgres_answers
from runtime.embedded.service import http_ok


def answers(role: str, target: str) -> bool:
    """True when it answers and is ready for work; takes a few seconds at most."""
    match role:
        case "kafka":
            return kafka_answers(target)
        case "postgres":
            return postgres_answers(target)
        case "clickhouse":
            return clickhouse_answers(target)
        case _:
            return http_ok(f"{target}/healthz/ready")
