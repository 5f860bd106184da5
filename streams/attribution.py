"""Which partition of the usage topic the rows of a subject go to: that of its customer, so that a balance reads one partition.

A subject without a customer keeps the partition that its events come from. Remembered for the subjects seen lately, and
forgotten at once when the catalog says that a subject is another customer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from schemas.partitioner import partition_of
from tables.catalog import Moved

_REMEMBERED_LENGTH_MAX = 200


class Customers(Protocol):
    """What is asked of the catalog (`tables/catalog_store.py`)."""

    @property
    def has_customers(self) -> bool:
        """Whether any subject may have a customer."""
        ...

    def customers_of(self, subjects: Sequence[str]) -> list[str | None]:
        """The id of the customer whose usage each subject's events are."""
        ...

    def on_moved(self, call: Callable[[Sequence[Moved]], None]) -> None:
        """Call with the subjects whose customer is another one now."""
        ...


class Attribution:
    """Subject -> usage partition, for `remembered_max` subjects; `partitions` of the usage topic."""

    def __init__(
        self, customers: Customers, partitions: int, *, remembered_max: int = 500_000
    ) -> None:
        self.partitions = partitions
        self._customers = customers
        self._max = remembered_max
        self._known: dict[str, int] = {}
        customers.on_moved(self._forget)

    def partitions_of(self, subjects: Sequence[str], own: int) -> list[int] | None:
        """Where the rows of each subject go, when their events come from partition `own`; None when all go to `own`."""
        if not self._customers.has_customers:
            return None
        found = list(map(self._known.get, subjects))
        if None in found:
            return self._learn(subjects, own)
        return found  # type: ignore[return-value]  # there is no None in it

    def _learn(self, subjects: Sequence[str], own: int) -> list[int]:
        known = self._known
        missing = [subject for subject in dict.fromkeys(subjects) if subject not in known]
        owners = self._customers.customers_of(missing)
        new = {
            subject: own if owner is None else partition_of(owner.encode(), self.partitions)
            for subject, owner in zip(missing, owners, strict=True)
        }
        found = [new[subject] if subject in new else known[subject] for subject in subjects]
        if len(known) + len(new) > self._max:
            known.clear()
        if len(new) <= self._max:
            known.update(_short(new.items()))
        return found

    def everywhere(self, own: int) -> Sequence[int]:
        """Every partition that rows of events of partition `own` may have gone to."""
        return range(self.partitions) if self._customers.has_customers else (own,)

    def _forget(self, moved: Sequence[Moved]) -> None:
        for subject, _, _ in moved:
            self._known.pop(subject, None)


def _short(entries: Iterable[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    """Long names are not remembered: what is remembered has a bound in bytes, too."""
    return [entry for entry in entries if len(entry[0]) <= _REMEMBERED_LENGTH_MAX]


class NoCustomers:
    """A catalog without customers."""

    has_customers = False

    def customers_of(self, subjects: Sequence[str]) -> list[str | None]:
        """Nobody's."""
        return [None] * len(subjects)

    def on_moved(self, call: Callable[[Sequence[Moved]], None]) -> None:
        """Nothing ever moves."""
