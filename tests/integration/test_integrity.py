"""Rows that break a rule which GitHub's own data keep: each rule finds its row, and no other."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from reconciliation import integrity, integrity_asking, tasks
from reconciliation.integrity_rules import LOGIN, NAME, RULES, SHA
from reconciliation.models import IntegrityIssue
from syncsvc import clock, events
from syncsvc.models import Commit, Installation, Issue, PullRequest, Repository
from tests.factories import (
    CommitFactory,
    InstallationFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    SyncJobFactory,
)

pytestmark = pytest.mark.django_db

MODELS = {
    "repositories": Repository,
    "issues": Issue,
    "pull_requests": PullRequest,
    "commits": Commit,
}
FACTORIES = {
    "repositories": RepositoryFactory,
    "issues": IssueFactory,
    "pull_requests": PullRequestFactory,
    "commits": CommitFactory,
}
ZERO = datetime(1970, 1, 1, tzinfo=UTC)

#: For each rule, ways to break it: the columns that are set behind everybody's back.
BREACHES: dict[str, list[dict[str, Any]]] = {
    "repository_lacks_a_required_field": [{"visibility": ""}, {"status": ""}],
    "repository_id_is_not_positive": [{"github_id": 0}, {"github_id": -7}],
    "repository_owner_is_malformed": [{"owner": "a b"}, {"owner": "ö"}, {"owner": "x[bot"}],
    "repository_name_is_malformed": [{"name": "a/b"}, {"name": ".."}, {"name": "x\n"}],
    "repository_states_disagree": [{"status": "archived"}, {"archived": True}],
    "repository_time_is_impossible": [{"pushed_at": ZERO}, {"github_updated_at": "ahead"}],
    "issue_lacks_a_required_field": [{"github_updated_at": None}],
    "issue_id_is_not_positive": [{"github_id": 0}],
    "issue_number_is_below_1": [{"number": 0}],
    "issue_author_is_malformed": [{"author": ""}, {"author": "no way"}, {"author": "b[bot]x"}],
    "issue_closed_without_time": [{"github_state": "closed", "state": "closed"}],
    "issue_time_is_impossible": [{"github_created_at": ZERO}, {"closed_at": "ahead"}],
    "issue_has_no_repository": [{"repository_id": 10**9}],
    "issue_states_disagree": [{"state": "closed"}],
    "pull_request_lacks_a_required_field": [{"number": None}, {"state": ""}],
    "pull_request_id_is_not_positive": [{"github_id": -1}],
    "pull_request_number_is_below_1": [{"number": 0}],
    "pull_request_author_is_malformed": [{"author": "<x>"}],
    "pull_request_closed_without_time": [{"state": "closed"}],
    "pull_request_time_is_impossible": [{"github_updated_at": ZERO}],
    "pull_request_has_no_repository": [{"repository_id": 10**9}],
    "pull_request_states_disagree": [{"merged": True}, {"merged_at": "now"}],
    "pull_request_has_no_base": [{"base_ref": ""}],
    "pull_request_sha_is_malformed": [{"head_sha": "f" * 39}, {"merge_commit_sha": "Z" * 40}],
    "commit_lacks_a_required_field": [{"committed_at": None}],
    "commit_sha_is_malformed": [{"sha": "A" * 40}, {"sha": "0" * 50}],
    "commit_author_is_malformed": [{"author_login": "a@b"}],
    "commit_has_no_repository": [{"repository_id": 10**9}],
}


@pytest.fixture
def lawless() -> None:
    """A database that would take anything, until the test ends."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for model in MODELS.values():
            table = model._meta.db_table
            cursor.execute(
                "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
                " AND contype IN ('c', 'f')",
                [table],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            for field in model._meta.local_fields:
                if not field.primary_key and not field.generated:
                    cursor.execute(f'ALTER TABLE {table} ALTER "{field.column}" DROP NOT NULL')


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was said of issues that were found."""
    heard: list[dict[str, Any]] = []
    plain = events.emit

    def emit(name: str, **fields: Any) -> None:
        if name == "integrity.found":
            heard.append(fields)
        plain(name, **fields)

    monkeypatch.setattr(events, "emit", emit)
    return heard


def check(**options: Any) -> integrity.Report:
    report = integrity.check_all(clock.now(), **options)
    assert report is not None
    return report


def odd_but_right(installation: Installation) -> None:
    """What GitHub's data really look like."""
    job = SyncJobFactory.create(installation=installation)
    home = RepositoryFactory.create(installation=installation, name=".github", owner="-old-")
    RepositoryFactory.create(
        installation=installation, owner="emma_acme", name="_.-", pushed_at=None
    )
    RepositoryFactory.create(installation=installation, status="deleted", archived=True)
    for number, author in enumerate((None, "dependabot[bot]", "a", "emma_acme", "x-"), 1):
        IssueFactory.create(repository=home, number=number, author=author, title="")
        PullRequestFactory.create(repository=home, number=number + 10, author=author, title="")
    ancient = datetime(1999, 4, 1, tzinfo=UTC)
    IssueFactory.create(repository=home, number=99, github_created_at=ancient)
    CommitFactory.create(repository=home, authored_at=ZERO, committed_at=ZERO, author_login=None)
    CommitFactory.create(
        repository=home, sha="a" * 64, authored_at=clock.now() + timedelta(days=9000)
    )
    for model in (Issue, PullRequest, Commit):
        model._default_manager.update(changed_by_job=job.pk)


# --- each rule -------------------------------------------------------------------------------------


@pytest.mark.spec("R8.1", "P32", "P33", "P34", "P35")
def test_each_rule_finds_the_rows_that_break_it_and_no_others(
    lawless: None, told: list[dict[str, Any]]
) -> None:
    assert set(BREACHES) == {rule.name for rule in RULES}
    installation = InstallationFactory.create()
    odd_but_right(installation)
    home = RepositoryFactory.create(installation=installation)
    job = SyncJobFactory.create(installation=installation)
    assert check().found == []
    expected: set[tuple[str, str]] = set()
    for rule in RULES:
        model = MODELS[rule.entity]
        for breach in BREACHES[rule.name]:
            given = {"installation": installation} if model is Repository else {"repository": home}
            row = FACTORIES[rule.entity].create(**given)
            moments = {"now": clock.now(), "ahead": clock.now() + timedelta(days=2)}
            values = {
                name: moments.get(value, value) if isinstance(value, str) else value
                for name, value in breach.items()
            }
            signed = {} if model is Repository else {"changed_by_job": job.pk}
            model._default_manager.filter(pk=row.pk).update(**values, **signed)
            key = "sha" if model is Commit else "github_id"
            expected.add((rule.name, str(values.get(key, getattr(row, key)))))
    report = check()
    assert {(each.rule, each.key) for each in report.found} == expected
    assert report.opened == len(expected)
    open_now = IntegrityIssue.objects.filter(resolved_at__isnull=True, installation=installation)
    assert set(open_now.values_list("rule", "item_key")) == expected
    assert all(open_now.values_list("detail", flat=True))
    assert {event["installation_id"] for event in told} == {installation.pk}
    assert sum(event["count"] for event in told) == len(expected)
    items = [item for event in told for item in event["items"]]
    assert {(item["rule"], item["item"]) for item in items} == expected
    assert told[0]["rules"]["repository_name_is_malformed"] == 3
    said = len(told)
    again = check()
    assert (again.opened, len(told), open_now.count()) == (0, said, len(expected))


LETTERS = st.sampled_from("aZ09-_.[]b ot/\n\u00f6")


class TestFormats(TestCase):
    """The database's regular expressions, against the formats in plain words."""

    @staticmethod
    def holds(pattern: str, value: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s ~ %s", [value, pattern])
            return bool(cursor.fetchone()[0])

    @pytest.mark.spec("P33")
    @given(value=st.text(LETTERS, max_size=8), bot=st.booleans())
    def test_logins(self, value: str, bot: bool) -> None:
        login = value + "[bot]" * bot
        plain = login.removesuffix("[bot]")
        right = plain != "" and all(c.isascii() and (c.isalnum() or c in "-_") for c in plain)
        assert self.holds(LOGIN, login) is right

    @pytest.mark.spec("P33")
    @given(value=st.text(LETTERS, max_size=8))
    def test_names(self, value: str) -> None:
        right = value != "" and all(c.isascii() and (c.isalnum() or c in "-_.") for c in value)
        assert self.holds(NAME, value) is right

    @pytest.mark.spec("P33")
    @given(value=st.text("0af", min_size=38, max_size=66), spoilt=st.sampled_from(["", "g", "\n"]))
    def test_shas(self, value: str, spoilt: str) -> None:
        sha = value + spoilt
        assert self.holds(SHA, sha) is (len(sha) in (40, 64) and not spoilt)


# --- how it is looked for ---------------------------------------------------------------------------


def broken_issue(**values: Any) -> Issue:
    row: Issue = IssueFactory.create(**values)
    Issue.objects.filter(pk=row.pk).update(author="not a login")
    return row


@pytest.mark.spec("R8.1", "P35")
def test_what_a_run_wrote_is_checked_by_its_keys_alone() -> None:
    mine = RepositoryFactory.create()
    written, other = broken_issue(repository=mine), broken_issue(repository=mine)
    fine = IssueFactory.create(repository=mine)
    commit = CommitFactory.create(repository=mine)
    Commit.objects.filter(pk=commit.pk).update(author_login="a b")
    job_id, now = uuid4(), clock.now()
    keys = [written.github_id, fine.github_id]

    def after_a_run() -> integrity.Report:
        known = integrity.open_issues(mine.installation_id)
        return integrity.check_written("issues", keys, known, job_id=job_id, now=now)

    report = after_a_run()
    assert (report.checked, report.opened, [each.key for each in report.found]) == (
        2, 1, [str(written.github_id)],
    )  # fmt: skip
    row = IntegrityIssue.objects.get()
    assert (row.correlation_id, row.repository_id, row.rule) == (
        job_id, mine.pk, "issue_author_is_malformed",
    )  # fmt: skip
    broken = integrity.check_written("commits", [(mine.pk, commit.sha)], (), job_id=job_id, now=now)
    assert [each.key for each in broken.found] == [commit.sha]
    Issue.objects.filter(pk=written.pk).update(author="octocat")
    assert after_a_run().resolved == 1
    row.refresh_from_db()
    assert row.resolved_at == now
    Issue.objects.filter(pk=written.pk).update(author="not a login")
    assert after_a_run().opened == 1  # broken again is a new issue
    assert IntegrityIssue.objects.filter(item_key=str(other.github_id)).count() == 0


@pytest.mark.spec("R8.1")
def test_the_whole_check_goes_by_windows_and_ends_what_is_right_or_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(integrity_asking, "WINDOW", 3)
    rows = [broken_issue() for _ in range(8)]
    homes = {row.repository.installation_id for row in rows}
    assert len(homes) == 8
    report = check(installation_id=rows[0].repository.installation_id)
    assert ([each.key for each in report.found], report.checked) == ([str(rows[0].github_id)], 2)
    report = check()
    assert (len(report.found), report.opened, report.checked) == (8, 7, 16)
    Issue.objects.filter(pk=rows[1].pk).update(author=None)
    rows[2].delete()
    report = check()
    assert (len(report.found), report.opened, report.resolved) == (6, 0, 2)
    assert IntegrityIssue.objects.filter(resolved_at__isnull=True).count() == 6


@pytest.mark.spec("R8.1")
def test_the_daily_task_checks_everything() -> None:
    broken_issue()
    tasks.check_integrity()
    assert IntegrityIssue.objects.count() == 1


def run_checks(*arguments: str) -> tuple[int, list[Any]]:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("run_checks", *arguments, "--json", stdout=out, stderr=StringIO())
    return int(ended.value.code or 0), [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.spec("R8.1", "R19.6", "P35")
def test_the_command_says_what_is_wrong_and_how_much_was_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row, other = broken_issue(), IssueFactory.create()
    login = row.repository.installation.account_login
    code, lines = run_checks()
    assert (code, lines[-1]) == (1, {"checked": 4, "open": 1, "opened": 1, "resolved": 0})
    assert lines[0] | {"detected_at": None} == {
        "installation": login,
        "entity": "issues",
        "item": str(row.github_id),
        "repository": row.repository.full_name,
        "rule": "issue_author_is_malformed",
        "detail": lines[0]["detail"],
        "detected_at": None,
    }
    assert run_checks(login)[0] == 1
    fine = other.repository.installation.account_login
    assert run_checks(fine.upper()) == (0, [{"checked": 2, "open": 0, "opened": 0, "resolved": 0}])
    code, [refusal] = run_checks("nobody")
    assert (code, refusal) == (2, {"error": "There is no account 'nobody' here."})
    with pytest.raises(SystemExit):
        call_command("run_checks")
    assert f"{login}: issues {row.github_id} of {row.repository.full_name}: GitHub's logins" in (
        capsys.readouterr().out
    )


@pytest.fixture
def elsewhere() -> Iterator[None]:
    """Another process is at it."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [integrity._LOCK])
        yield
    finally:
        other.close()


@pytest.mark.spec("R19.6")
def test_two_whole_checks_at_once_are_one(elsewhere: None) -> None:
    broken_issue()
    tasks.check_integrity()
    code, [refusal] = run_checks()
    assert (code, IntegrityIssue.objects.count()) == (3, 0)
    assert "another check" in refusal["error"].lower()
