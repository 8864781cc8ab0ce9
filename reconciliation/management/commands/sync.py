"""`manage.py sync`: asks the one door for a sync, and with `--wait` runs it here."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from config import stopping
from reconciliation import conductor
from reconciliation.run import COUNTED, ENTITIES
from syncsvc import discovery, events, jobs, status
from syncsvc.leases import Lease
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Decision, Reason
from syncsvc.service import SyncService
from syncsvc.shell import Exit, Failure, ShellCommand, installation_named

POLL_SECONDS = 0.5
NOTHING_COUNTED = {
    "repositories": dict.fromkeys(("created", "updated", "unchanged", "deleted", "errors"), 0)
}
_ENDED = {"succeeded": Exit.DONE, "blocked": Exit.NOT_STARTED, "queued": Exit.DONE}
_WORST = (Exit.FAILED, Exit.NOT_STARTED, Exit.DONE)


class Command(ShellCommand):
    help = (
        "Syncs one account, or every active one. Exit code: 0 done or queued, 1 failed or only "
        "partly done, 2 wrong usage, 3 skipped or blocked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "login", nargs="?", metavar="LOGIN", help="The account; all without it."
        )
        parser.add_argument("--mode", choices=["full", "incremental", "reconcile"], default="full")
        parser.add_argument("--repo", metavar="OWNER/NAME", help="Only this repository.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would change.")
        parser.add_argument("--wait", action="store_true", help="Run it here, without a worker.")

    def run(self, **options: Any) -> Exit:
        with stopping.on_sigterm():
            codes = [self._sync(installation, options) for installation in _chosen(options)]
        return next(code for code in _WORST if code in codes)

    def _sync(self, installation: Installation, options: dict[str, Any]) -> Exit:
        decision = SyncService.request(
            installation.pk,
            SyncJob.Trigger.MANUAL,
            mode=SyncJob.Mode.REPO if options["repo"] else options["mode"],
            repository=options["repo"] or "",
            dry_run=options["dry_run"],
            ring=not options["wait"],
        )
        job = SyncJob.objects.filter(pk=decision.job_id).first() if decision.job_id else None
        adopted = decision.reason is Reason.ALREADY_SYNCING
        # Somebody else's job is waited for only if it does what was asked for here.
        if job is None or (adopted and not (options["wait"] and _is_asked_for(job, options))):
            self._report(installation, decision, None, options)
            return Exit.NOT_STARTED
        if options["wait"]:
            job = self._finish(job, installation, options)
        self._report(installation, decision, job, options)
        return _ENDED.get(job.status, Exit.FAILED)

    def _finish(self, job: SyncJob, installation: Installation, options: dict[str, Any]) -> SyncJob:
        """Runs the job here if no worker has it, also when the one that has it is found dead."""
        with _progress_bar(installation.account_login, shown=not options["json"]):
            while not stopping.is_wanted():
                lease = jobs.claim(job.pk)
                if lease is not None:
                    _execute(lease)
                job.refresh_from_db()
                if job.status != SyncJob.Status.RUNNING:
                    return job
                time.sleep(POLL_SECONDS)
            return job

    def _report(
        self,
        installation: Installation,
        decision: Decision,
        job: SyncJob | None,
        options: dict[str, Any],
    ) -> None:
        sentence = f"{installation.account_login}: {status.explain(decision)}"
        if job is not None:
            sentence = f"{installation.account_login}: {_sentence(job)}"
        self.say(
            options,
            sentence,
            installation=installation.account_login,
            job_id=decision.job_id,
            decision=decision.as_dict(),
            status=job.status if job else None,
            trigger=job.trigger if job else SyncJob.Trigger.MANUAL.value,
            mode=job.mode if job else options["mode"],
            dry_run=job.dry_run if job else options["dry_run"],
            counts=(job and job.counts) or NOTHING_COUNTED,
            api=job.api if job else {},
            phases_seconds=job.phases_seconds if job else {},
            accuracy=job.accuracy if job else None,
            discrepancies=job.discrepancies if job else {},
            verification=job.verification if job else {},
            failures=job.failures if job else [],
            plan=job.plan if job else [],
            blocked_until=job.run_after if job and job.status == "blocked" else None,
            error=_trouble(decision, job),
        )


def _is_asked_for(job: SyncJob, options: dict[str, Any]) -> bool:
    mode = SyncJob.Mode.REPO if options["repo"] else options["mode"]
    asked = (mode, (options["repo"] or "").lower(), options["dry_run"])
    return (job.mode, job.repository.lower(), job.dry_run) == asked


def _execute(lease: Lease) -> None:
    """Runs the job; who interrupts the command cancels its job. SIGTERM leaves it to a worker."""
    try:
        conductor.execute(lease, last_attempt=True)
    except KeyboardInterrupt:
        jobs.cancel(lease.job)
        raise


def _trouble(decision: Decision, job: SyncJob | None) -> str | None:
    if job is None:
        return status.explain(decision)
    if job.status == SyncJob.Status.BLOCKED:
        return _sentence(job)
    return job.error or None


def _chosen(options: dict[str, Any]) -> list[Installation]:
    """The accounts that are meant; an unknown one is looked for at GitHub before it is refused."""
    repository = options["repo"]
    login = options["login"]
    if repository is not None:
        owner, slash, name = repository.partition("/")
        if not (owner and slash and name) or "/" in name:
            raise Failure(f"{repository!r} is no repository: write OWNER/NAME.", Exit.USAGE)
        if login is not None and login.lower() != owner.lower():
            raise Failure(f"{repository} does not belong to {login}.", Exit.USAGE)
        login = owner
    if login is None:
        return _all_active()
    known = installation_named(login)
    if known is None:
        discovery.discover()
        known = installation_named(login)
    if known is None:
        logins = Installation.objects.order_by("account_login").values_list(
            "account_login", flat=True
        )
        have = ", ".join(logins[:10]) or "none yet"
        raise Failure(
            f"There is no account {login!r} here. Known accounts: {have}. Install the GitHub App "
            "on it, or name it in GITHUB_OWNER.",
            Exit.USAGE,
        )
    return [known]


def _all_active() -> list[Installation]:
    active = Installation.objects.filter(status=Installation.Status.ACTIVE).order_by(
        "account_login"
    )
    if not active.exists():
        discovery.discover()
    if not active.exists():
        raise Failure("There is no active account to sync: install the GitHub App on one first.")
    return list(active)


def _sentence(job: SyncJob) -> str:
    if job.status == SyncJob.Status.QUEUED:
        return f"queued as job {job.pk}."
    if job.status == SyncJob.Status.BLOCKED:
        return f"blocked until {job.run_after:%Y-%m-%d %H:%M:%S} UTC ({job.blocked_reason}); it goes on by itself."
    parts = [
        f"{entity.replace('_', ' ')} {_figures(counts)}"
        for entity, counts in sorted(job.counts.items(), key=lambda each: ENTITIES.index(each[0]))
    ]
    tail = f" {job.error}" if job.error else ""
    would = " (dry run: nothing was written)" if job.dry_run else ""
    seconds = job.phases_seconds.get("total", 0.0)
    requests = job.api.get("requests", 0)
    points = job.api.get("graphql_points", 0)
    spent = f"{requests} requests" + (f" and {points} GraphQL points" if points else "")
    return (
        f"{job.get_status_display().lower()} in {seconds:.1f} s with {spent}: "
        f"{'; '.join(parts) or 'nothing read'}{would}.{tail}"
    )


def _figures(counts: dict[str, int]) -> str:
    """What happened to one kind of things; at least how many are as they were."""
    told = [f"{counts[name]} {name}" for name in COUNTED if counts.get(name)]
    return ", ".join(told) or "0 unchanged"


@contextmanager
def _progress_bar(login: str, *, shown: bool) -> Iterator[None]:
    """A bar on a terminal, nothing elsewhere."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    with tqdm(desc=login, unit=" repositories", leave=False) as bar:

        def show(fields: dict[str, Any], name: str, **_: Any) -> None:
            if name == "sync.job.progress":
                bar.total = fields["total"]
                bar.n = fields["current"]
                bar.set_description(f"{login}: {fields['stage']}")
                bar.refresh()

        events.happened.connect(show)
        try:
            yield
        finally:
            events.happened.disconnect(show)
