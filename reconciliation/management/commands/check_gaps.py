"""`manage.py check_gaps`: looks for missed deliveries now, and with `--wait` heals them here."""

import time
from argparse import ArgumentParser
from typing import Any, Final

from django.db.models import Q, QuerySet

from reconciliation import conductor
from syncsvc import clock, jobs
from syncsvc.models import Gap, Hook, Installation
from syncsvc.shell import Exit, Failure, ShellCommand, installation_named
from syncsvc.webhooks import watch

POLL_SECONDS: Final = 1.0
LONGEST_PAUSE: Final = 10.0
"""Redeliveries arrive before their gap is due; each look reads every log."""
LONGEST_WAIT: Final = 1800.0


class Command(ShellCommand):
    help = (
        "Compares GitHub's log of deliveries with what arrived, and has what is missing redelivered "
        "and read again. Exit code: 0 done, 1 a gap could not be closed or a log not be read, 2 wrong "
        "usage, 3 another check is under way."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "login", nargs="?", metavar="LOGIN", help="Show only this account's gaps."
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Stay until the gaps are closed; run catch-ups here.",
        )

    def run(self, **options: Any) -> Exit:
        began = clock.now()
        chosen = _chosen(options["login"])
        report = watch.check(rng=_at_once if options["wait"] else None)
        if report.skipped and not options["wait"]:
            raise Failure("Another check is under way; it does the same.", Exit.NOT_STARTED)
        if options["wait"]:
            _wait(chosen)
        shown = list(
            chosen.filter(Q(closed_at__isnull=True) | Q(closed_at__gte=began))
            .select_related("installation")
            .order_by("opened_at", "pk")
        )
        for gap in shown:
            self._show(gap, options)
        unread = [hook for hook in Hook.objects.exclude(error="") if report.unreadable]
        for hook in unread:
            self.stderr.write(f"{hook}: {hook.error}")
        if not shown and not options["json"]:
            self.stdout.write(
                f"No gap. {report.entries} entries of {report.hooks} logs were compared."
            )
        stuck = options["wait"] and any(gap.closed_at is None for gap in shown)
        return Exit.FAILED if stuck or unread else Exit.DONE

    def _show(self, gap: Gap, options: dict[str, Any]) -> None:
        last = gap.timeline[-1]["what"] if gap.timeline else ""
        self.say(
            options,
            f"{gap.installation}: {gap.get_reason_display().lower()}, {gap.missed} missed, "
            f"{gap.get_step_display().lower()}. {last}",
            id=gap.pk,
            installation=gap.installation.account_login,
            reason=gap.reason,
            step=gap.step,
            missed=gap.missed,
            began_at=gap.began_at,
            opened_at=gap.opened_at,
            closed_at=gap.closed_at,
            healed_by=gap.healed_by,
            job_id=gap.job_id,
            seconds_to_detect=gap.seconds_to_detect,
            seconds_to_repair=gap.seconds_to_repair,
            missing=gap.evidence.get("missing", []),
            timeline=gap.timeline,
        )


def _chosen(login: str | None) -> QuerySet[Gap]:
    if login is None:
        return Gap.objects.all()
    installation = installation_named(login)
    if installation is None:
        raise Failure(f"There is no account {login!r} here.", Exit.USAGE)
    return Gap.objects.filter(installation=installation)


def _wait(chosen: QuerySet[Gap]) -> None:
    """Does what worker and beat would do, until nothing is open but what waits for its account."""
    deadline = time.monotonic() + LONGEST_WAIT
    suspended = Installation.Status.SUSPENDED
    left = chosen.filter(closed_at__isnull=True).exclude(installation__status=suspended)
    while left.exists() and time.monotonic() < deadline:
        worked = False
        for gap in left.select_related("job"):
            lease = jobs.claim(gap.job.pk) if gap.job and gap.job.is_active else None
            if lease is not None:
                conductor.execute(lease, last_attempt=True)
                # It is not to be waited for: whoever asked stands here.
                Gap.objects.filter(pk=gap.pk, closed_at__isnull=True).update(
                    next_step_at=clock.now()
                )
                worked = True
        if not worked:
            due = left.order_by("next_step_at").values_list("next_step_at", flat=True).first()
            seconds = (due - clock.now()).total_seconds() if due is not None else 0.0
            time.sleep(min(max(seconds, POLL_SECONDS), LONGEST_PAUSE))
        watch.check(rng=_at_once)


def _at_once() -> float:
    return 0.0
