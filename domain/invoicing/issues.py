"""What was found wrong with an invoice, by whom. Source: catalog §3.3, §3.8."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """A critical issue holds the invoice, a warning does not."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationIssue:
    """`component` found it (`openmeter`, `openmeter.metering`, `app.{type}.{capability}.{operation}`); `field` is a path."""

    severity: Severity
    component: str
    message: str
    code: str | None = None
    field: str | None = None


def with_findings(
    issues: Iterable[ValidationIssue], component: str, found: Iterable[ValidationIssue]
) -> tuple[ValidationIssue, ...]:
    """The issues after `component` ran again: its old ones go, the others stay."""
    return (*(issue for issue in issues if issue.component != component), *found)


def downgraded(issues: Iterable[ValidationIssue]) -> tuple[ValidationIssue, ...]:
    """The issues as a retry takes them: what was critical is a warning until it is found again."""
    return tuple(replace(issue, severity=Severity.WARNING) for issue in issues)


def has_critical(issues: Iterable[ValidationIssue]) -> bool:
    """Whether the invoice is held."""
    return any(issue.severity is Severity.CRITICAL for issue in issues)
