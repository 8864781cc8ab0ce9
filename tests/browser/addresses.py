"""The one table of pages: the checks of all pages walk it, and whoever adds a page adds its line.

An address is made while the product runs, for it may need a row to show.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.db.models import Model
from django.urls import reverse

from reconciliation.models import Discrepancy, Review
from syncsvc import clock
from syncsvc.models import (
    DeadLetter,
    Delivery,
    Gap,
    Installation,
    Issue,
    PullRequest,
    Repository,
    SyncJob,
)
from tests.browser.product import BUSY, OTHER
from tests.factories import (
    DeadLetterFactory,
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    IssueFactory,
    MissedDeliveryFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    SyncJobFactory,
)
from tests.judge_factories import DiscrepancyFactory, ReviewFactory

STRANGER, STAFF = "stranger", "staff"
LONG: Final = "Lange-" * 1_700
ODD: Final = "مستودع-الاختبار-🚀👩‍👩‍👧‍👦-שלום-" + "w" * 180
ODD_ACCOUNT: Final = "חשבון-🚀-" + "m" * 200


PAUSED: Final = "paused-account"


class Page:
    """One page: who looks at it, and where it is."""

    def __init__(
        self, name: str, address: str | Callable[[], str], *, who: str = STAFF, status: int = 200
    ) -> None:
        self.name, self._address, self.who, self.status = name, address, who, status

    def __str__(self) -> str:
        return self.name

    def address(self) -> str:
        """Where it is."""
        return self._address() if callable(self._address) else self._address


def named(view: str, query: str = "") -> Callable[[], str]:
    """The address of a view."""
    return lambda: reverse(view) + query


def row(view: str, model: type[Model], **which: Any) -> Callable[[], str]:
    """The address of the newest row."""
    return lambda: reverse(view, args=[model._default_manager.filter(**which).latest("pk").pk])


def of_account(view: str) -> Callable[[], str]:
    """A list narrowed to the smallest account: axe looks at each row, and all rows are alike."""
    smallest = Installation.objects.filter(account_login=OTHER)
    return lambda: f"{reverse(view)}?installation={smallest.get().pk}"


PAGES: Final = (
    Page("log-in", "/login/", who=STRANGER),
    Page("accounts", named("home")),
    Page("accounts, nothing found", named("home", "?q=nothing-like-it")),
    Page("account", row("installation", Installation, account_login=BUSY)),
    Page("account, odd name", row("installation", Installation, account_login=ODD_ACCOUNT)),
    Page("account, paused", row("installation", Installation, account_login=PAUSED)),
    Page("account, wrong filter", lambda: f"{row('installation', Installation)()}?status=nonsense"),
    Page("run", row("job", SyncJob, status="succeeded", trigger="initial")),
    Page("run, failed", row("job", SyncJob, status="failed")),
    Page("repository", row("repository", Repository, installation__account_login=BUSY)),
    Page("repository, odd name", row("repository", Repository, name=ODD)),
    Page("issues", of_account("issues")),
    Page("issues, nothing found", named("issues", "?q=nothing-like-it")),
    Page("issues, wrong filter", named("issues", "?state=nonsense&page=-3")),
    Page("issue", row("issue", Issue, repository__installation__account_login=BUSY)),
    Page("issue, odd", row("issue", Issue, repository__name=ODD)),
    Page("pull requests", of_account("pull_requests")),
    Page("pull request", row("pull_request", PullRequest)),
    Page("commits", of_account("commits")),
    Page("deliveries", named("deliveries")),
    Page("delivery", row("delivery", Delivery)),
    Page("gaps", named("gaps")),
    Page("gap", row("gap", Gap)),
    Page("discrepancies", named("discrepancies")),
    Page("discrepancy, open", row("discrepancy", Discrepancy, repair_status="proposed")),
    Page("discrepancy, repaired", row("discrepancy", Discrepancy, repair_status="repaired")),
    Page("review", row("review", Review)),
    Page("dead letters", named("dead_letters")),
    Page("dead letter", row("dead_letter", DeadLetter)),
    Page("system", named("system")),
    Page("sync health", named("sync_health")),
    Page("sync health, filtered", named("sync_health", "?q=octo&window=7d")),
    Page("sync health, wrong filter", named("sync_health", "?window=nonsense&order=nonsense&page=x")),
    Page("sync health, nothing found", named("sync_health", "?q=nothing-like-it")),
    Page("incidents", named("sync_health_incidents")),
    Page("set-up", named("setup")),
    Page("doctor", named("doctor")),
    Page("nothing there", "/nothing-here/", status=404),
)  # fmt: skip


def furnish(installation: Installation) -> None:
    """The rows that a calm product does not have, some of them with names that break layouts."""
    now = clock.now()
    odd = InstallationFactory.create(
        account_login=ODD_ACCOUNT, status=Installation.Status.SUSPENDED, suspended_at=now
    )
    home = RepositoryFactory.create(installation=odd, owner=ODD_ACCOUNT, name=ODD, description=LONG)
    IssueFactory.create(
        repository=home, title=LONG[:1000], body=LONG, labels=[LONG[:250], "🚀", "שלום"]
    )
    PullRequestFactory.create(repository=home, title=LONG[:1000], body=LONG)
    RepositoryMetricFactory.create(repository=home)
    for days in range(1, 20):
        RepositoryMetricFactory.create(repository=home, date=(now - timedelta(days=days)).date())
    SyncJobFactory.create(installation=odd, failed=True, error=LONG[:2000])
    InstallationFactory.create(
        account_login=PAUSED, breaker_state="open", breaker_opened_at=now, breaker_openings=1,
        breaker_open_until=now + timedelta(hours=1), last_synced_at=now, consecutive_failures=5,
        last_error="GitHub did not answer: try again in a few minutes.",
    )  # fmt: skip
    mine = installation.repositories.latest("pk")
    DeliveryFactory.create(account=installation, body={"action": "opened", "title": LONG})
    GapFactory.create(installation=installation)
    GapFactory.create(installation=installation, closed=True)
    MissedDeliveryFactory.create(installation=installation)
    DeadLetterFactory.create(installation=odd, error=LONG[:2000])
    ReviewFactory.create(installation=odd)
    for how in ({}, {"repaired": True}):
        DiscrepancyFactory.create(installation=installation, home=mine, **how)
        DiscrepancyFactory.create(
            installation=odd, home=home, before={"title": LONG[:3000]}, after={"title": ODD}, **how
        )
