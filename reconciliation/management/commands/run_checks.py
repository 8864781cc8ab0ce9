"""`manage.py run_checks`: looks now whether the rows of the mirror keep the rules that GitHub's data keep."""

from argparse import ArgumentParser
from typing import Any, Final

from django.db.models import QuerySet

from reconciliation import integrity
from reconciliation.models import IntegrityIssue
from syncsvc import clock
from syncsvc.models import Installation
from syncsvc.shell import Exit, Failure, ShellCommand, installation_named

SHOWN: Final = 1000


class Command(ShellCommand):
    help = (
        "Checks every row of the mirror, or of one account: required fields, formats, states, times, "
        "and that each item has its repository. Exit code: 0 all is right, 1 something is wrong, "
        "2 wrong usage, 3 another check is under way."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "login", nargs="?", metavar="LOGIN", help="Check only this account's rows."
        )

    def run(self, **options: Any) -> Exit:
        chosen = _chosen(options["login"])
        report = integrity.check_all(clock.now(), chosen.pk if chosen else None)
        if report is None:
            raise Failure("Another check is under way; it does the same.", Exit.NOT_STARTED)
        issues = _open_of(chosen)
        left = issues.count()
        for issue in issues[:SHOWN]:
            self._show(issue, options)
        self.say(
            options,
            f"{report.checked} rows were checked: {left} issue{'' if left == 1 else 's'} open, "
            f"{report.opened} of them new, {report.resolved} have ended.",
            checked=report.checked,
            open=left,
            opened=report.opened,
            resolved=report.resolved,
        )
        return Exit.FAILED if left else Exit.DONE

    def _show(self, issue: IntegrityIssue, options: dict[str, Any]) -> None:
        home = issue.repository.full_name if issue.repository else None
        self.say(
            options,
            f"{issue.installation}: {issue.get_entity_display().lower()} {issue.item_key}"
            f"{f' of {home}' if home else ''}: {issue.detail}",
            installation=issue.installation.account_login,
            entity=issue.entity,
            item=issue.item_key,
            repository=home,
            rule=issue.rule,
            detail=issue.detail,
            detected_at=issue.detected_at,
        )


def _chosen(login: str | None) -> Installation | None:
    if login is None:
        return None
    installation = installation_named(login)
    if installation is None:
        raise Failure(f"There is no account {login!r} here.", Exit.USAGE)
    return installation


def _open_of(chosen: Installation | None) -> QuerySet[IntegrityIssue]:
    rows = IntegrityIssue.objects.filter(resolved_at__isnull=True)
    if chosen is not None:
        rows = rows.filter(installation=chosen)
    return rows.select_related("installation", "repository").order_by("detected_at", "pk")
