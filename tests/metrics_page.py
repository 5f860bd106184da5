"""Writes docs/metrics.md's tables from the declarations: `.venv/bin/python -m tests.metrics_page`."""

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

import api.metrics
import connectors.kafka.metrics
import runtime.metrics
import streams.balances.metrics
import streams.metrics

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- made from the declarations -->", "<!-- until here -->"
PLACES = {
    "Events and stages, of a worker": streams.metrics,
    "Balances, of a worker": streams.balances.metrics,
    "HTTP, of an api process": api.metrics,
    "The catalog and redrives, of an api process": runtime.metrics,
    "Writing to and reading from Kafka": connectors.kafka.metrics,
}


def declared(module) -> list[MetricWrapperBase]:
    """In the order of the module."""
    return [one for one in vars(module).values() if isinstance(one, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    """As Prometheus shows it."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    return metric._labelnames


def tables() -> str:
    """One table for each module."""
    parts = []
    for title, module in PLACES.items():
        lines = [
            f"### {title} (`{module.__name__.replace('.', '/')}.py`)",
            "| metric | kind | labels | says |",
            "| --- | --- | --- | --- |",
        ]
        for metric in declared(module):
            (family,) = metric.describe()
            labels = ", ".join(labels_of(metric))
            says = family.documentation.replace("|", "\\|")
            lines.append(f"| `{name_of(metric)}` | {family.type} | {labels} | {says} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def page_with(text: str, made: str) -> str:
    """The page with its tables replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(), tables()))
