"""What the GitHub client remembers, kept in PostgreSQL and shared by all processes.

The client names the Protocols; here is the one implementation that runs in production. All of it is
called by the thread that runs the job.
"""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from syncsvc import clock, vault
from syncsvc.github.auth import Credential
from syncsvc.github.budget import Budget, BudgetState, merge
from syncsvc.github.etags import StoredPage
from syncsvc.models import EtagEntry, Installation, InstallationToken, RateBudget

_ETAGS_AT_ONCE = 20
_GET_PAGE = f"""
    SELECT etag, token_fingerprint, rows, has_next, last_page, version
    FROM {EtagEntry._meta.db_table} WHERE installation_id = %s AND url = %s
"""  # noqa: S608  (the table's name is ours)


class DatabaseBudgetStore:
    """Budgets per installation and resource, and the pause after a secondary limit (R4.2)."""

    def __init__(self, installation_id: int) -> None:
        self._installation_id = installation_id
        self._paused_until: datetime | None = None

    def load(self) -> BudgetState:
        """What the last run, in whichever process, learned."""
        self._paused_until, strikes = Installation.objects.values_list(
            "blocked_until", "secondary_strikes"
        ).get(pk=self._installation_id)
        return BudgetState(
            budgets=tuple(
                _budget(row)
                for row in RateBudget.objects.filter(installation_id=self._installation_id)
            ),
            blocked_until=self._paused_until,
            strikes=strikes,
        )

    def save(self, state: BudgetState) -> None:
        """Adds what was learned. A pause that another process met since stays."""
        with transaction.atomic():
            known = {row.resource: _budget(row) for row in self._locked_rows()}
            RateBudget.objects.bulk_create(
                [
                    RateBudget(
                        installation_id=self._installation_id,
                        resource=budget.resource,
                        limit=budget.limit,
                        remaining=budget.remaining,
                        used=budget.used,
                        reset_at=budget.reset_at,
                        observed_at=budget.observed_at,
                    )
                    for seen in state.budgets
                    for budget in [merge(known.get(seen.resource), seen)]
                ],
                update_conflicts=True,
                unique_fields=["installation", "resource"],
                update_fields=["limit", "remaining", "used", "reset_at", "observed_at"],
            )
            ours = Installation.objects.filter(pk=self._installation_id)
            if state.blocked_until is None:
                ours = ours.filter(blocked_until=self._paused_until)
            else:
                ours = ours.exclude(blocked_until__gt=state.blocked_until)
            ours.exclude(blocked_until=state.blocked_until, secondary_strikes=state.strikes).update(
                blocked_until=state.blocked_until,
                blocked_reason="secondary_limit" if state.blocked_until else "",
                secondary_strikes=state.strikes,
            )
        self._paused_until = state.blocked_until

    def _locked_rows(self) -> QuerySet[RateBudget]:
        return RateBudget.objects.select_for_update().filter(installation_id=self._installation_id)


def _budget(row: RateBudget) -> Budget:
    return Budget(
        resource=row.resource,
        limit=row.limit,
        remaining=row.remaining,
        used=row.used,
        reset_at=row.reset_at,
        observed_at=row.observed_at,
    )


class DatabaseTokenStore:
    """The installation token in use, encrypted, so that processes share it and its ETags."""

    def __init__(self, installation_id: int) -> None:
        self._installation_id = installation_id

    def load(self, _github_id: int) -> Credential | None:
        """The token another process fetched; None when there is none or it cannot be decrypted."""
        row = InstallationToken.objects.filter(pk=self._installation_id).first()
        if row is None:
            return None
        try:
            return Credential.of(vault.decrypt(row.encrypted), row.expires_at)
        except vault.UnreadableSecret:
            return None  # the keys were changed: a new token is fetched and encrypted with them

    def save(self, _github_id: int, credential: Credential) -> None:
        """Keeps the token for everybody."""
        if credential.expires_at is None:
            return  # no installation token: those always expire
        InstallationToken.objects.update_or_create(
            installation_id=self._installation_id,
            defaults={
                "encrypted": vault.encrypt(credential.value),
                "expires_at": credential.expires_at,
            },
        )

    def delete(self, _github_id: int) -> None:
        """Forgets a token that GitHub refused."""
        InstallationToken.objects.filter(pk=self._installation_id).delete()


class DatabaseEtagStore:
    """Pages with their ETags. A page that was not modified causes no write (R4.3)."""

    def __init__(self, installation_id: int) -> None:
        self._installation_id = installation_id
        self._waiting: dict[str, EtagEntry] = {}

    def get(self, url_key: str) -> StoredPage | None:
        """The page last stored for this address, if any."""
        # Asked once a page, so in plain SQL: the ORM takes longer than GitHub's simulator does.
        with connection.cursor() as cursor:
            cursor.execute(_GET_PAGE, [self._installation_id, url_key])
            found = cursor.fetchone()
        if found is None:
            return None
        etag, fingerprint, rows, has_next, last_page, version = found
        return StoredPage(
            etag=etag,
            fingerprint=fingerprint,
            rows=bytes(rows),
            has_next=has_next,
            last_page=last_page,
            version=version,
        )

    def put(self, url_key: str, page: StoredPage) -> None:
        """Keeps the page; written in batches."""
        self._waiting[url_key] = EtagEntry(
            installation_id=self._installation_id,
            url=url_key,
            etag=page.etag,
            token_fingerprint=page.fingerprint,
            rows=page.rows,
            has_next=page.has_next,
            last_page=page.last_page,
            version=page.version,
            stored_at=clock.now(),
        )
        if len(self._waiting) >= _ETAGS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Writes what was collected."""
        if self._waiting:
            EtagEntry.objects.bulk_create(
                self._waiting.values(),
                update_conflicts=True,
                unique_fields=["installation", "url"],
                update_fields=[
                    "etag",
                    "token_fingerprint",
                    "rows",
                    "has_next",
                    "last_page",
                    "version",
                    "stored_at",
                ],
            )
            self._waiting = {}
