"""Errors that the rules raise. A stable `code`, a message for people, and the field that is wrong."""

from typing import Any


class DomainError(Exception):
    """A rule was broken; `code` is stable and part of the interface."""

    code = "domain_error"


class Refused(DomainError):
    """The input is wrong: nothing was done. `field` names the offending value (JSONPath-like, e.g. `$.time`).

    `attributes` are further members of what programs are told.
    """

    def __init__(
        self, code: str, message: str, field: str | None = None, **attributes: Any
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.attributes = attributes


class NotFound(DomainError):
    """Nothing live has this id or key."""

    code = "not_found"


class Conflict(DomainError):
    """The change clashes with what is there."""

    code = "conflict"


class PreconditionFailed(DomainError):
    """What is to be changed is in a state that does not allow it, such as a deleted customer."""

    code = "precondition_failed"


class Forbidden(DomainError):
    """It may not be changed this way, whoever asks: it belongs to something else."""

    code = "forbidden"


class Unavailable(Exception):
    """The other side is down: try again later; nothing is known to have happened."""
