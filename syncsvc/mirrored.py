"""How much of an account is mirrored, by kind: what each list held after its last reading, added up.

Counting the rows themselves would read millions of them for one card. The sums are kept until another run
of the account has ended, five minutes at most.
"""

from collections.abc import Mapping
from typing import Final

from django.core.cache import cache
from django.db.models import Sum

from syncsvc.models import ContentList, Repository

KEPT_SECONDS: Final = 300
Amounts = tuple[tuple[str, int], ...]
"""Each kind of things with how many are mirrored."""


def amounts(versions: Mapping[int, object]) -> dict[int, Amounts]:
    """Of each of these installations; its version is whatever changes when a run has ended. One query
    for all that nobody has asked for lately."""
    keys = {pk: f"mirrored:{pk}:{version}" for pk, version in versions.items()}
    kept = cache.get_many(keys.values()) if keys else {}
    found: dict[int, Amounts] = {pk: kept[key] for pk, key in keys.items() if key in kept}
    asked = [pk for pk in keys if pk not in found]
    if asked:
        fresh = _read(asked)
        cache.set_many({keys[pk]: amount for pk, amount in fresh.items()}, KEPT_SECONDS)
        found |= fresh
    return found


def _read(installations: list[int]) -> dict[int, Amounts]:
    rows = (
        ContentList.objects.filter(
            repository__installation__in=installations,
            repository__status__in=Repository.PRESENT,
        )
        .order_by()
        .values_list("repository__installation", "entity")
        .annotate(number=Sum("mirrored"))
    )
    sums = {(pk, entity): number for pk, entity, number in rows}
    return {
        pk: tuple((each.label, sums.get((pk, each), 0)) for each in ContentList.Entity)
        for pk in installations
    }
