"""The independent audit: a random sample of an account is read again by the other path (R8.3).

Hides how the sample is paid for, what follows from an item that is wrong, and how audits add up. What
it finds is proposed and asked to be read again: the audit itself changes nothing of the mirror.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from django.db.models import Count, Sum

from reconciliation import discrepancies, sampling
from reconciliation.auditing_asking import Asking
from reconciliation.auditing_drawing import Stratum, Survey, draw, survey
from reconciliation.auditing_judging import (
    IN_FLIGHT,
    MATCHED,
    UNKNOWN,
    WRONG,
    Bench,
    Verdict,
    judge,
)
from reconciliation.auditing_reading import sights
from reconciliation.findings import REPOSITORIES, Identity, identity, key_of
from reconciliation.models import Discrepancy, SampleAudit, SampledItem
from reconciliation.run import Run
from reconciliation.sampling import Standing, Weights
from syncsvc import clock, content_lists, events, policy, rechecks
from syncsvc.github.graphql_repositories import POINTS
from syncsvc.github.reading import Entity
from syncsvc.models import RateBudget, Repository, SyncJob
from syncsvc.rechecks import Asked

USUAL_LIMIT: Final = 5000
"""GitHub's hourly limit of requests and of points, as long as it has not said another one."""
HOUR: Final = timedelta(hours=1)
REASON: Final = "audit"

KEPT: Final = timedelta(days=7)
"""How long items of samples are kept that were right."""
PRUNE_BATCH: Final = 1000
PRUNED_AT_ONCE: Final = 50

_SEED_BITS: Final = 62
_TOLD: Final = ("sampled", "matched", "wrong", "in_flight", "unknown", "estimate", "low", "high")


def audit(run: Run, seed: int | None = None) -> SampleAudit | None:
    """Audits the account of the run; None when there was nothing to draw or nothing to pay with.

    The same `seed` draws the same items of the same mirror. Raises what says something about us,
    `Cancelled` and `LeaseLost`; then nothing is kept.
    """
    if run.baseline:
        run.look.verified({"audit": {"skipped": "The first run has not ended yet."}})
        return None
    done = SampleAudit.objects.filter(job=run.job).first()
    if done is not None:  # this worker's predecessor died between its last write and the job's end
        _told(run, done)
        return done
    seed = secrets.randbits(_SEED_BITS) if seed is None else seed
    random = Random(seed)
    found = survey(run.context.installation_id, run.lease.settings.commit_limit)
    sizes, allowed = _sizes(run, found, random)
    if not any(sizes.values()):
        run.look.verified({"audit": {"skipped": "Nothing to draw, or no requests to spare."}})
        return None
    asking = Asking(run, allowed, random)
    seen = list(sights(asking, draw(found, sizes, random)))
    with run.phase("compare"):
        context = replace(run.context, now=clock.now(), seen_at=None)
        verdicts = judge(seen, Bench(context=context, opinion=asking.opinion))
    return _store(run, seed, found, verdicts, asking)


# -- the price -------------------------------------------------------------------------------------


def _sizes(run: Run, found: Survey, random: Random) -> tuple[dict[Stratum, int], int]:
    """How many items to draw of each stratum, and how many requests they may take."""
    populations = found.populations()
    allowed = _allowance(run, "core")
    if _allowance(run, "graphql") < POINTS:
        populations = {each: n for each, n in populations.items() if each[0] != REPOSITORIES}
    size = min(run.lease.settings.audit_sample, allowed)
    return sampling.allocate(populations, size, random), allowed


def _allowance(run: Run, resource: str) -> int:
    settings, now = run.lease.settings, clock.now()
    installation_id = run.context.installation_id
    budget = RateBudget.objects.filter(installation_id=installation_id, resource=resource).first()
    column = "points" if resource == "graphql" else "requests"
    spent = SampleAudit.objects.filter(installation_id=installation_id, at__gt=now - HOUR)
    limit = budget.limit if budget is not None else USUAL_LIMIT
    return sampling.allowance(
        limit=limit,
        remaining=budget.remaining if budget is not None and budget.reset_at > now else None,
        reserve=policy.reserve(limit, run.job.trigger, settings),
        percent=settings.audit_budget_percent,
        spent=spent.aggregate(all=Sum(column))["all"] or 0,
    )


# -- what it leaves --------------------------------------------------------------------------------


def _store(
    run: Run, seed: int, found: Survey, verdicts: Sequence[Verdict], asking: Asking
) -> SampleAudit:
    results = Counter(each.result for each in verdicts)
    strata = _strata(found, verdicts)
    weights = sampling.weigh(strata.values())
    low, high = weights.interval
    row = SampleAudit(
        installation_id=run.context.installation_id,
        job=run.job,
        at=clock.now(),
        seed=seed,
        requests=asking.requests,
        points=asking.points,
        sampled=len(verdicts),
        matched=results[MATCHED],
        wrong=results[WRONG],
        in_flight=results[IN_FLIGHT],
        unknown=results[UNKNOWN],
        strata={f"{entity}/{side}": asdict(each) for (entity, side), each in strata.items()},
        estimate=weights.share,
        low=low,
        high=high,
        weight=weights.total,
        weight_matched=weights.matched,
        weight_squares=weights.squares,
        weight_squares_wrong=weights.squares_wrong,
    )
    with run.phase("update"), run.lease.writing():
        row.save(force_insert=True)
        SampledItem.objects.bulk_create(_items(run, row, verdicts))
        if not run.job.dry_run:
            _ask_again(run, [each for each in verdicts if each.result == WRONG])
    events.emit(
        "audit.completed",
        installation_id=row.installation_id,
        job_id=str(run.job.pk),
        requests=row.requests,
        **_told(run, row),
    )
    return row


def _told(run: Run, row: SampleAudit) -> dict[str, Any]:
    """What the job keeps of the audit."""
    told = {name: getattr(row, name) for name in _TOLD}
    run.look.verified({"audit": told})
    return told


def _strata(found: Survey, verdicts: Sequence[Verdict]) -> dict[Stratum, sampling.Stratum]:
    """What came of each stratum that has items."""
    counted: dict[Stratum, Counter[str]] = {}
    for each in verdicts:
        counts = counted.setdefault((each.sight.entity, each.sight.side), Counter())
        counts[each.result] += 1
        counts["alone"] += each.result == WRONG and each.alone
    return {
        key: sampling.Stratum(population=population, **dict(counted.get(key, {})))
        for key, population in found.populations().items()
        if population
    }


def _items(run: Run, row: SampleAudit, verdicts: Sequence[Verdict]) -> list[SampledItem]:
    findings = [finding for each in verdicts for finding in each.findings]
    discrepancies.proposed(findings, run.judge.finder())
    known = _open(run.context.installation_id, {each.key for each in findings})
    homes = dict(
        Repository.objects.filter(
            github_id__in={each.sight.home.github_id for each in verdicts if each.sight.home}
        ).values_list("github_id", "pk")
    )
    return [
        SampledItem(
            audit=row,
            entity=each.sight.entity,
            side=str(each.sight.side),
            repository_id=homes.get(each.sight.home.github_id) if each.sight.home else None,
            item_key=key_of(each.sight.key) if each.sight.key is not None else "",
            result=each.result,
            path=each.sight.path,
            differences=dict(each.differences),
            discrepancy_id=_first(known, each),
        )
        for each in verdicts
    ]


def _open(installation_id: int, keys: Collection[str]) -> dict[tuple[Identity, str], int]:
    """The open discrepancies of these items, by item and type."""
    rows = Discrepancy.objects.filter(
        installation_id=installation_id, item_key__in=keys, repair_status__in=Discrepancy.OPEN
    )
    names = ("pk", "entity", "item_key", "repository_github_id", "type")
    return {
        (identity(entity, key, home), kind): pk
        for pk, entity, key, home, kind in rows.values_list(*names)
    }


def _first(known: Mapping[tuple[Identity, str], int], verdict: Verdict) -> int | None:
    """The discrepancy of the item, or the first where it is wrong in several ways."""
    found = (known.get((each.item, str(each.kind))) for each in verdict.findings)
    return next((pk for pk in found if pk is not None), None)


def _ask_again(run: Run, wrong: Sequence[Verdict]) -> None:
    """Has each wrong item put right. Its list looked unchanged, so it has to be read whole: where one
    item is wrong without anything having shown it, others may be."""
    homes = {each.sight.home for each in wrong if each.sight.home is not None}
    asked = [
        Asked(github_id=home.github_id, full_name=home.full_name, itself=True, reason=REASON)
        for home in homes
    ]
    content_lists.forget_whole(
        {
            (each.sight.home.pk, Entity(each.sight.entity))
            for each in wrong
            if each.sight.home is not None and each.sight.entity != REPOSITORIES
        }
    )
    rechecks.ask(
        run.context.installation_id,
        asked,
        trigger=SyncJob.Trigger.MAINTENANCE,
        now=clock.now(),
    )


# -- how audits add up -----------------------------------------------------------------------------


def standing(scope: int | Collection[int] | None, since: datetime, now: datetime) -> Standing:
    """What the audits since then say together, in one query (R8.3): of one account, of several, or,
    for None, of all.

    Each item stands for as many as were not drawn: a large account counts more than a small one.
    """
    rows = SampleAudit.objects.filter(at__gt=since, at__lte=now)
    if scope is not None:
        rows = rows.filter(installation__in=[scope] if isinstance(scope, int) else scope)
    names = ("sampled", "matched", "wrong", "in_flight", "unknown")
    sums = rows.order_by().aggregate(
        audits=Count("pk"),
        **{f"all_{name}": Sum(name) for name in names},
        total=Sum("weight"),
        right=Sum("weight_matched"),
        squares=Sum("weight_squares"),
        squares_wrong=Sum("weight_squares_wrong"),
    )
    weights = Weights(
        total=sums["total"] or 0.0,
        matched=sums["right"] or 0.0,
        squares=sums["squares"] or 0.0,
        squares_wrong=sums["squares_wrong"] or 0.0,
    )
    low, high = weights.interval
    counts: dict[str, Any] = {name: sums[f"all_{name}"] or 0 for name in names}
    return Standing(audits=sums["audits"], estimate=weights.share, low=low, high=high, **counts)


def prune(now: datetime) -> int:
    """Forgets the items of old samples that were right, in batches; returns how many. What was found
    wrong, and the sums of each audit, stay (R17.1)."""
    old = SampledItem.objects.filter(
        result=SampledItem.Result.MATCHED, audit__at__lt=now - KEPT
    ).order_by("pk")
    forgotten = 0
    for _ in range(PRUNED_AT_ONCE):
        pks = list(old.values_list("pk", flat=True)[:PRUNE_BATCH])
        forgotten += SampledItem.objects.filter(pk__in=pks).delete()[0]
        if len(pks) < PRUNE_BATCH:
            break
    return forgotten
