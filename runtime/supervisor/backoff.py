"""How long to wait before a child is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffOptions:
    """Seconds: the first wait, the longest, and how long a child must have lived for its earlier deaths to be forgotten."""

    delay_s_min: float
    delay_s_max: float
    forget_after_s: float


class Backoff:
    """Doubles with every quick death, up to the longest; there is no last try."""

    def __init__(self, options: BackoffOptions) -> None:
        self._options = options
        self._deaths = 0

    def after(self, lived_s: float) -> float:
        """The wait in seconds before the next start of a child that lived for `lived_s`."""
        if lived_s >= self._options.forget_after_s:
            self._deaths = 0
        delay: float = min(
            self._options.delay_s_min * 2 ** min(self._deaths, 32), self._options.delay_s_max
        )
        self._deaths += 1
        return delay
