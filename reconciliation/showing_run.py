"""What the judge shows on the page of a run: how right the mirror was, what was found and repaired, what
the audit sampled, and its trail. `syncsvc.blocks` puts it there without knowing what it is.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet

from reconciliation import selectors, selectors_trail
from reconciliation.models import (
    AuditEntry,
    AuditError,
    IntegrityIssue,
    Review,
    SampleAudit,
    SampledItem,
)
from reconciliation.showing import floored
from reconciliation.trail import RUN
from syncsvc import blocks
from syncsvc.models import SyncJob
from syncsvc.selectors import Viewer

LISTED: Final = 50
ACTS_SHOWN: Final = 20
ATTEMPTS_SHOWN: Final = 20
#: What people do about a run they do soon; the trail of an account is not searched to its end.
ACTED_WITHIN: Final = timedelta(days=31)
#: The same moment as two tables tell it.
ABOUT: Final = timedelta(minutes=1)


def register() -> None:
    """Puts the judge's blocks on the page of a run."""
    blocks.register("review", held, "reconciliation/_run_review.html", on="run", place="top")
    blocks.register("figures", figures, "reconciliation/_run_figures.html", on="run")
    blocks.register("audit", audits, "reconciliation/_run_audit.html", on="run")
    blocks.register("found", found, "reconciliation/_run_found.html", on="run")
    blocks.register("integrity", integrity, "reconciliation/_run_integrity.html", on="run")
    blocks.register("trail", trail, "reconciliation/_run_trail.html", on="run")


def held(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """The disappearance that this run did not believe, if there was one."""
    row = selectors.reviews(user).filter(installation=job.installation_id, correlation_id=job.pk)
    review = row.first()
    return {"row": review, "is_open": review.status == Review.Status.OPEN} if review else None


def figures(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """How right the mirror was before this run put it right, by what it compared."""
    rows = list(selectors.run_figures(user).filter(job=job.pk).order_by("entity"))
    if not rows:
        return None
    return {"rows": [(row, floored(selectors.tally(row))) for row in rows]}


def audits(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """What an independent audit sampled, and what of it was wrong."""
    if job.mode != SyncJob.Mode.AUDIT:
        return None
    row = SampleAudit.objects.filter(job=job.pk).first()
    if row is None:
        return None
    wrong = SampledItem.objects.filter(audit=row, result=SampledItem.Result.WRONG)
    shown = wrong.select_related("repository")[:LISTED]
    return {"row": row, "wrong": selectors.named(shown, user, job.installation_id)}


def found(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """The discrepancies that this run found, and those of earlier runs that it repaired."""
    rows = selectors.discrepancies(user).defer("before", "after")
    own = list(rows.filter(correlation_id=job.pk)[: LISTED + 1])
    mended = rows.filter(repaired_in=job.pk).exclude(correlation_id=job.pk)
    earlier = list(mended.order_by("-repaired_at", "-pk")[: LISTED + 1])
    if not own and not earlier:
        return None
    return {
        "job": job,
        "found": own[:LISTED],
        "more_found": len(own) > LISTED,
        "repaired": earlier[:LISTED],
        "more_repaired": len(earlier) > LISTED,
    }


def integrity(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """The rows that were seen to break a rule in this run."""
    rows = IntegrityIssue.objects.filter(
        installation=job.installation_id,
        correlation_id=job.pk,
        detected_at__gte=job.created_at - ABOUT,
    ).select_related("repository")
    issues = selectors.named(rows[: LISTED + 1], user, job.installation_id)
    return {"rows": issues[:LISTED], "more": len(issues) > LISTED} if issues else None


def trail(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """What the audit log says of the run, to whom it is open (R11.2): attempts, people, errors."""
    entries = selectors_trail.entries(user).filter(installation=job.installation_id)
    entry = entries.filter(kind=AuditEntry.Kind.RUN, correlation_id=job.pk).first()
    acts = acted(entries, job)
    if entry is None and not acts:
        return None
    attempts: list[AuditError] = []
    if entry is not None:
        ended = selectors_trail.errors(entry).filter(operation=RUN).defer("trace")
        attempts = list(ended[:ATTEMPTS_SHOWN])
    recoveries = entry.detail.get("recoveries") if entry else None
    return {
        "job": job,
        "entry": entry,
        "attempts": attempts,
        "recoveries": _recoveries(recoveries),
        "acts": acts,
        "budget_left": sorted((entry.api.get("budget_left") or {}).items()) if entry else [],
    }


def acted(entries: QuerySet[AuditEntry], job: SyncJob) -> list[AuditEntry]:
    """What people did about the run: asked for it, cancelled it, decided what it had found."""
    rows = entries.filter(
        correlation_id=job.pk,
        at__gte=job.created_at - ABOUT,
        at__lt=(job.finished_at or job.created_at) + ACTED_WITHIN,
    ).exclude(kind=AuditEntry.Kind.RUN)
    return list(rows.order_by("at", "pk")[:ACTS_SHOWN])


def _recoveries(noted: Any) -> list[tuple[datetime, str]]:
    """When the run went on after something had ended it before, as the entry tells it."""
    told = []
    for each in noted if isinstance(noted, list) else []:
        try:
            told.append((datetime.fromisoformat(each["at"]), str(each["what"])))
        except (KeyError, TypeError, ValueError):
            continue  # an entry of another version says it in another way
    return told
