"""Errors that the rules raise. A stable `code`, a message for people, and the field that is wrong."""


class DomainError(Exception):
    """A rule was broken; `code` is stable and part of the interface."""

    code = "domain_error"


class Refused(DomainError):
    """The input is wrong: nothing was done. `field` names the offending value (JSONPath-like, e.g. `$.time`)."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class NotFound(DomainError):
    """Nothing live has this id or key."""

    code = "not_found"


class Conflict(DomainError):
    """The change clashes with what is there."""

    code = "conflict"


class Unavailable(Exception):
    """The other side is down: try again later; nothing is known to have happened."""
