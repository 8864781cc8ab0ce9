"""From facts about this server to findings; pure. Each check is one function."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from syncsvc.doctor.facts import Finding, Local
from syncsvc.setup import manifest

OK, WARNING, BAD, UNKNOWN = "ok", "warning", "bad", "unknown"
GITHUB, WEBHOOKS, SERVER, SAFETY = "GitHub", "Webhooks", "This server", "Safety"
ORDER: Final = (BAD, WARNING, UNKNOWN, OK)
LEAST_DATABASE: Final = 150_000
LEAST_DISK: Final = (5, 15)
QUIET_HOURS: Final = 24

Check = Callable[[Local], Iterator[Finding]]


def judge(local: Local) -> list[Finding]:
    """Everything that can be said without asking GitHub."""
    return [finding for check in _CHECKS for finding in check(local)]


def worst(findings: list[Finding]) -> str:
    """The worst state among them; what is not known is no trouble yet."""
    states = {finding.state for finding in findings}
    return next((state for state in ORDER if state in states), OK)


def _credentials(local: Local) -> Iterator[Finding]:
    found = Finding(
        key="credentials", group=GITHUB, title="Credentials", state=OK, says="", at=local.now
    )
    troubles = [way.trouble for way in local.ways if way.trouble]
    if not local.ways:
        yield _but(
            found,
            BAD,
            "No way to GitHub is set up: nothing can be mirrored.",
            "Open the page Set-up, or set GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY, or GITHUB_TOKEN.",
        )
    elif troubles:
        yield _but(
            found,
            BAD,
            " ".join(troubles),
            "Put the former key back into FIELD_ENCRYPTION_KEYS, or set it up again on the page Set-up.",
        )
    else:
        what = " and ".join({"app": "a GitHub App", "token": "a token"}[w.kind] for w in local.ways)
        where = (
            "the simulator of the demo"
            if local.demo
            else "the environment"
            if local.from_environment
            else "the page Set-up"
        )
        yield _but(found, OK, f"There is {what}, from {where}.")


def _permissions(local: Local) -> Iterator[Finding]:
    for account in local.accounts:
        if account.mode != "app" or account.status != "active":
            continue
        lacks = [n for n in manifest.PERMISSIONS if n not in account.permissions]
        wants = [n for n in manifest.EVENTS if n not in account.events]
        found = Finding(
            key=f"granted:{account.login}",
            group=GITHUB,
            title=f"What {account.login} granted",
            state=OK,
            says="The App may read everything that is mirrored.",
            at=local.now,
        )
        if lacks:
            what = ", ".join(manifest.NEEDED_FOR[name] for name in lacks)
            yield _but(found, BAD if "metadata" in lacks else WARNING,
                       f"The App may not read {what} there, so these are not mirrored.",
                       f"Give the App read access to {', '.join(lacks)} at GitHub, and let an owner of "
                       f"{account.login} accept it.")  # fmt: skip
        elif wants and local.secrets:
            yield _but(found, WARNING,
                       f"Webhooks for {', '.join(wants)} are not sent: such changes are seen at the next "
                       "scheduled sync only.",
                       "Subscribe the App to these events at GitHub, under Permissions & events.")  # fmt: skip
        else:
            yield found


def _budgets(local: Local) -> Iterator[Finding]:
    for account in local.accounts:
        if account.remaining is None or not account.limit:
            continue
        found = Finding(
            key=f"budget:{account.login}",
            group=GITHUB,
            title=f"Requests left for {account.login}",
            state=OK,
            says=f"{account.remaining:,} of {account.limit:,} are left.",
            at=local.now,
        )
        if account.reset_at is not None and account.reset_at <= local.now:
            yield _but(found, OK, f"All {account.limit:,}: the hour has begun anew.")
        elif account.remaining < account.limit * 0.02:
            yield _but(found, BAD, found.says,
                       "Nothing: syncs go on by themselves when the hour is over. If it happens often, see "
                       "who else uses these credentials, or let the account be read less often.")  # fmt: skip
        elif account.remaining < account.limit * 0.1:
            yield _but(
                found, WARNING, found.says, "Nothing yet: the planner spends the rest slowly."
            )
        else:
            yield found


def _secret(local: Local) -> Iterator[Finding]:
    found = Finding(
        key="webhook_secret", group=WEBHOOKS, title="Webhook secret", state=OK, at=local.now,
        says="One is set." if local.secrets == 1 else f"{local.secrets} are in force: one is being changed.",
    )  # fmt: skip
    if local.secret_trouble:
        yield _but(found, BAD, local.secret_trouble, "Store it again on the page Set-up.")
    elif not local.secrets:
        yield _but(
            found,
            WARNING,
            "There is none, so every webhook is refused; only the schedule keeps the mirror "
            "up to date.",
            "Give the webhook at GitHub a secret, and store the same on the page Set-up.",
        )
    else:
        yield found


def _arriving(local: Local) -> Iterator[Finding]:
    found = Finding(
        key="webhook_arrival", group=WEBHOOKS, title="Webhooks arrive", state=OK, says="", at=local.now
    )  # fmt: skip
    out_of_reach = manifest.unreachable(local.base_url, local.api_url)
    last = local.last_delivery_at
    if last is None:
        yield _but(found, WARNING if out_of_reach else UNKNOWN,
                   out_of_reach or "None has arrived yet.",
                   "Set BASE_URL to an address that GitHub reaches, and the webhook to it."
                   if out_of_reach else "At GitHub, redeliver the ping of the webhook, then ask again.")  # fmt: skip
        return
    hours = (local.now - last).total_seconds() / 3600
    said = f"The last one came {_ago(hours)} ago."
    if hours > QUIET_HOURS:
        yield _but(found, WARNING, f"{said} On a busy account that is long.",
                   "Look at the webhook's recent deliveries at GitHub; “Ask GitHub” here does so too.")  # fmt: skip
    else:
        yield _but(found, OK, said)


def _processes(local: Local) -> Iterator[Finding]:
    for component, title in (("worker", "Worker"), ("beat", "Scheduler"), ("sweeper", "Sweeper")):
        sentence = local.silent.get(component, "")
        yield Finding(
            key=component,
            group=SERVER,
            title=title,
            state=BAD if sentence else OK,
            says="No sign of life lately." if sentence else "Gives signs of life.",
            fix=sentence,
            at=local.now,
        )
    yield Finding(
        key="broker", group=SERVER, title="Broker", at=local.now,
        state=OK if local.broker else BAD,
        says="It answers." if local.broker else "It does not answer: work starts late, when the sweeper finds it.",
        fix="" if local.broker else "See that it runs and that REDIS_URL or CELERY_BROKER_URL leads to it.",
    )  # fmt: skip


def _database(local: Local) -> Iterator[Finding]:
    found = Finding(
        key="database", group=SERVER, title="Database", state=OK, at=local.now,
        says=f"PostgreSQL {local.database_version // 10_000}, {_size(local.database_bytes)}, "
        f"{local.connections} of {local.connections_most} connections.",
    )  # fmt: skip
    if local.database_version < LEAST_DATABASE:
        yield _but(found, BAD, found.says, "Move to PostgreSQL 15 or newer.")
    elif local.connections > 0.8 * local.connections_most:
        yield _but(
            found,
            WARNING,
            found.says,
            "Raise max_connections, or run fewer web threads and workers.",
        )
    else:
        yield found
    free = local.disk_free_percent
    if free is not None:
        bad, warning = LEAST_DISK
        yield Finding(
            key="disk", group=SERVER, title="Disk", at=local.now,
            state=BAD if free < bad else WARNING if free < warning else OK,
            says=f"{free} % of the disk under this server's folder is free.",
            fix="Make room: without it the database stops." if free < warning else "",
        )  # fmt: skip
    yield Finding(
        key="migrations", group=SERVER, title="Tables", at=local.now,
        state=BAD if local.unapplied else OK,
        says=f"Migrations that are missing: {local.unapplied}." if local.unapplied
        else "They are those of this release.",
        fix="Run python manage.py prepare." if local.unapplied else "",
    )  # fmt: skip
    yield Finding(
        key="version", group=SERVER, title="Version", state=OK, says=local.version, at=local.now
    )  # fmt: skip


def _safety(local: Local) -> Iterator[Finding]:
    yield Finding(
        key="encryption", group=SAFETY, title="Keys for stored secrets", at=local.now,
        state=WARNING if local.derived_key else OK,
        says="FIELD_ENCRYPTION_KEYS is not set: secrets are encrypted with SECRET_KEY, so a new SECRET_KEY would "
        "make them unreadable." if local.derived_key else "FIELD_ENCRYPTION_KEYS is set.",
        fix="Set FIELD_ENCRYPTION_KEYS to a new key followed by the present SECRET_KEY, and keep it with the backups."
        if local.derived_key else "",
    )  # fmt: skip
    parts = urlsplit(local.base_url)
    public = not manifest.is_private(local.base_url)
    plain = public and parts.scheme != "https"
    yield Finding(
        key="https", group=SAFETY, title="Address", at=local.now,
        state=BAD if plain else OK,
        says=f"BASE_URL is {local.base_url}" + (": passwords travel unprotected." if plain else "."),
        fix="Put a proxy with HTTPS in front, and begin BASE_URL with https://." if plain else "",
    )  # fmt: skip
    known = any(host == "*" or (parts.hostname or "").endswith(host.lstrip(".")) for host in local.hosts)  # fmt: skip
    wild = "*" in local.hosts
    yield Finding(
        key="hosts", group=SAFETY, title="ALLOWED_HOSTS", at=local.now,
        state=WARNING if wild else OK if known else BAD,
        says="It allows every host." if wild else "It fits BASE_URL." if known
        else f"It does not allow {parts.hostname}: visitors get an error.",
        fix="Name the hosts that this server has." if wild else "" if known
        else "Add the host of BASE_URL to ALLOWED_HOSTS.",
    )  # fmt: skip
    yield Finding(
        key="debug", group=SAFETY, title="DEBUG", at=local.now,
        state=BAD if local.debug and public else WARNING if local.debug else OK,
        says="It is on: error pages show the inside of this server." if local.debug else "It is off.",
        fix="Take DEBUG out of the environment, and restart." if local.debug else "",
    )  # fmt: skip


def _but(found: Finding, state: str, says: str, fix: str = "") -> Finding:
    return Finding(
        key=found.key, group=found.group, title=found.title, at=found.at, state=state, says=says, fix=fix
    )  # fmt: skip


def _ago(hours: float) -> str:
    """As the moments of the pages are written: 3 min, 5 h, 12 days."""
    if hours < 1:
        return f"{round(hours * 60)} min" if hours * 60 >= 1 else "less than a minute"
    return f"{round(hours)} h" if hours < 48 else f"{round(hours / 24)} days"


def _size(number: int) -> str:
    return f"{number / 1024**3:.1f} GB" if number >= 1024**3 else f"{number / 1024**2:.0f} MB"


_CHECKS: Final[tuple[Check, ...]] = (
    _credentials, _permissions, _budgets, _secret, _arriving, _processes, _database, _safety,
)  # fmt: skip
