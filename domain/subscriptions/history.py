"""The versions of a phase's items. A version's place in its item's history is part of what identifies a charge.

Source: catalog §2.5.
"""

from collections.abc import Iterable
from itertools import groupby, pairwise

from domain.errors import Refused
from domain.subscriptions.item_periods import ItemVersion


def check_history(items: Iterable[ItemVersion]) -> None:
    """Versions of one key follow each other, gaps allowed: none is there twice, none starts before the one before ends.

    Refused with code `subscription_item_version_repeated` or `subscription_item_history_overlap`.
    """
    ordered = sorted(items, key=lambda item: (item.key, item.version))
    for key, versions in groupby(ordered, key=lambda item: item.key):
        for before, after in pairwise(versions):
            if before.version == after.version:
                raise Refused(
                    "subscription_item_version_repeated",
                    f"{key!r} has version {after.version} twice",
                    "$.items",
                )
            if before.interval.end is None or after.interval.start < before.interval.end:
                raise Refused(
                    "subscription_item_history_overlap",
                    f"version {after.version} of {key!r} starts before version {before.version} ends",
                    "$.items",
                )
