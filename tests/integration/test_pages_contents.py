"""The pages of a repository and of what it holds: found, read, and kept from other tenants."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from syncsvc import clock, normalizer, repository_facts
from syncsvc.models import Installation, Repository
from tests.factories import (
    CommitFactory,
    ContentListFactory,
    InstallationFactory,
    IssueFactory,
    MembershipFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.integration.test_pages_home import text
from tests.people_support import browser, member_of, staff

pytestmark = pytest.mark.django_db

NONE = "\N{EN DASH}"
HOSTILE = "<script>alert(1)</script>"
LISTS: dict[str, Any] = {
    "/issues/": IssueFactory,
    "/pull-requests/": PullRequestFactory,
    "/commits/": CommitFactory,
}
lists = pytest.mark.parametrize("address", LISTS)


@pytest.fixture
def site() -> Repository:
    return RepositoryFactory.create(installation__account_login="acme", name="site")


@pytest.fixture
def client(site: Repository) -> Client:
    return browser(member_of(site.installation))


def rows(client: Client, address: str) -> list[Any]:
    page = client.get(address)
    assert page.status_code == 200
    return list(page.context["page"].object_list)


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.spec("R18.3", "R5.2")
def test_an_issue_is_shown_with_what_the_mirror_made_of_it(
    site: Repository, client: Client
) -> None:
    IssueFactory.create(
        repository=site,
        number=12,
        title="Crash at start",
        labels=["critical", "release-blocker", "area: build", "needs triage", "one more"],
        assignees=["mona", "hubot", "octocat"],
        github_created_at=clock.now() - timedelta(days=2),
        github_updated_at=clock.now() - timedelta(hours=3),
    )
    page = text(client.get("/issues/"))
    for part in (
        "Issues 1 in the mirror",
        "Crash at start GH-12 · acme/site",
        "critical release-blocker area: build +2 more",
        "In progress Critical Blocker 100 Late",
        "mona, hubot +1 more",
        "3 h ago",
    ):
        assert part in page
    assert "needs triage" not in page


@pytest.mark.spec("R18.3")
def test_issues_are_searched_filtered_and_ordered(site: Repository, client: Client) -> None:
    now = clock.now()
    urgent = IssueFactory.create(repository=site, number=7, labels=["critical"])
    old = IssueFactory.create(
        repository=site,
        title="Crash",
        labels=["low"],
        assignees=["mona"],
        github_created_at=now - timedelta(days=30),
    )
    shut = IssueFactory.create(
        repository=site, closed=True, github_updated_at=now - timedelta(days=2)
    )
    assert rows(client, "/issues/") == [urgent, shut, old]
    assert rows(client, "/issues/?q=GH-7") == [urgent]
    assert rows(client, "/issues/?q=crash&state=in_progress") == [old]
    assert rows(client, "/issues/?severity=critical") == [urgent]
    assert rows(client, "/issues/?breached=true") == [old]
    assert rows(client, "/issues/?assignee=MONA") == [old]
    assert rows(client, "/issues/?label=low&author=octocat") == [old]
    assert rows(client, "/issues/?order=priority")[0] == urgent
    assert rows(client, "/issues/?order=due")[0] == old
    assert rows(client, "/issues/?order=nonsense&page=99") == [urgent, shut, old]


@pytest.mark.spec("R18.3")
def test_pull_requests_are_searched_filtered_and_ordered(site: Repository, client: Client) -> None:
    merged = PullRequestFactory.create(
        repository=site, number=4, was_merged=True, head_ref="topic/fast"
    )
    draft = PullRequestFactory.create(repository=site, draft=True, title="Try it")
    assert rows(client, "/pull-requests/?merged=true") == [merged]
    assert rows(client, "/pull-requests/?draft=true") == [draft]
    assert rows(client, "/pull-requests/?q=%234") == [merged]
    assert rows(client, "/pull-requests/?order=merged") == [merged, draft]
    page = text(client.get("/pull-requests/"))
    assert "Merged topic/fast → into main octocat" in page
    assert "Try it" in page
    assert "Draft" in page


@pytest.mark.spec("R18.3")
def test_commits_are_searched_filtered_and_ordered(site: Repository, client: Client) -> None:
    new = CommitFactory.create(
        repository=site, sha="abcdef" + "0" * 34, message="\nFix it\n\nBecause it broke."
    )
    old = CommitFactory.create(
        repository=site,
        author_login=None,
        author_name="Ann",
        authored_at=clock.now() - timedelta(days=2),
    )
    assert rows(client, "/commits/") == [new, old]
    assert rows(client, "/commits/?order=oldest") == [old, new]
    assert rows(client, "/commits/?q=abcd") == [new]
    assert rows(client, "/commits/?q=broke") == [new]
    assert rows(client, "/commits/?author=octocat") == [new]
    page = text(client.get("/commits/"))
    assert "Fix it acme/site Whole message Because it broke. abcdef0000 octocat" in page
    assert "Ann 2 days ago" in page
    assert "octo@example.com" not in page


@pytest.mark.spec("R18.3", "R5.3")
@lists
def test_what_is_gone_is_shown_on_request_and_says_so(
    address: str, site: Repository, client: Client
) -> None:
    there = LISTS[address].create(repository=site)
    gone = LISTS[address].create(repository=site, gone=True)
    lost = LISTS[address].create(
        repository=RepositoryFactory.create(installation=site.installation, status="deleted")
    )
    assert rows(client, address) == [there]
    parameter = "dropped" if address == "/commits/" else "removed"
    page = client.get(f"{address}?{parameter}=true")
    assert set(page.context["page"].object_list) == {gone, lost}
    assert ("Dropped" if address == "/commits/" else "Deleted") in text(page)
    assert "Repository deleted" in text(page)
    assert rows(client, f"{address}?{parameter}=false") == [there]


@pytest.mark.spec("R18.3", "R19.2")
@lists
def test_a_list_is_narrowed_to_a_place_and_never_leaves_the_tenant(
    address: str, site: Repository
) -> None:
    user = member_of(site.installation)
    second = MembershipFactory.create(user=user).installation
    other = RepositoryFactory.create(installation=second)
    mine, theirs = LISTS[address].create(repository=site), LISTS[address].create(repository=other)
    foreign = LISTS[address].create()
    client = browser(user)
    assert set(rows(client, address)) == {mine, theirs}
    assert rows(client, f"{address}?repository={site.pk}") == [mine]
    assert rows(client, f"{address}?installation={second.pk}") == [theirs]
    page = client.get(f"{address}?repository={site.pk}&order=oldest")
    assert "Repository acme/site Remove" in text(page)
    assert 'href="?order=oldest">Remove' in page.content.decode()
    hidden = client.get(f"{address}?repository={foreign.repository.pk}")
    assert list(hidden.context["page"].object_list) == []
    assert str(foreign.repository) not in text(hidden)
    assert "none of this place" in text(hidden)


@pytest.mark.spec("R18.3")
def test_who_sees_one_account_is_not_asked_which(site: Repository, client: Client) -> None:
    assert 'name="installation"' not in client.get("/issues/").content.decode()
    narrowed = client.get(f"/issues/?installation={site.installation_id}")
    assert "Installation acme Remove" in text(narrowed)
    InstallationFactory.create(account_login="globex")
    assert '<select id="installation"' in browser(staff()).get("/issues/").content.decode()


@pytest.mark.spec("R18.3")
@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=nonsense", "State: Select a valid choice"),
        ("breached=maybe", "Breached: Select a valid choice"),
        ("repository=x", "Repository: Enter a whole number"),
        ("updated_after=yesterday", "Updated after: Enter a valid date/time"),
        ("q=%00", "Q: Null characters are not allowed"),
    ],
)
def test_a_wrong_filter_is_named_and_nothing_is_shown(
    query: str, sentence: str, site: Repository, client: Client
) -> None:
    IssueFactory.create(repository=site)
    page = client.get(f"/issues/?{query}")
    assert sentence in text(page)
    assert "Nothing was searched" in text(page)
    assert list(page.context["page"].object_list) == []
    name = query.partition("=")[0]
    html = page.content.decode()
    assert f'id="error-{name}"' in html
    if name in ("state", "breached", "q"):
        assert f'aria-describedby="error-{name}"' in html


@pytest.mark.spec("R18.3")
@lists
def test_an_empty_list_says_why_and_what_to_do(
    address: str, site: Repository, client: Client
) -> None:
    assert "are mirrored yet" in text(client.get(address))
    nothing = client.get(f"{address}?q=nothing")
    assert "matches" in text(nothing)
    assert f'<a href="{address}">Clear the filters</a>' in nothing.content.decode()
    nobody = browser(UserFactory.create())
    assert "are mirrored yet" in text(nobody.get(address))


@pytest.mark.spec("R18.3")
def test_filters_without_a_field_stay_when_the_form_is_sent(
    site: Repository, client: Client
) -> None:
    page = client.get("/issues/?github_state=open&removed=true&page=2").content.decode()
    assert '<input type="hidden" name="github_state" value="open">' in page
    assert re.search(r'<details class="more" open>', page)
    assert 'name="page"' not in page


@pytest.mark.spec("R18.5")
@lists
def test_a_list_costs_the_same_queries_for_one_row_and_for_fifty(
    address: str,
    site: Repository,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    LISTS[address].create(repository=site)
    with django_assert_num_queries(5):
        client.get(address)
    LISTS[address].create_batch(59, repository__installation=site.installation)
    with django_assert_num_queries(5):
        page = client.get(f"{address}?order=oldest")
    assert "Page 1 of 2" in text(page)
    assert len(page.context["page"].object_list) == 50
    assert 'href="?order=oldest&amp;page=2"' in page.content.decode()


@pytest.mark.spec("R18.6", "R19.4")
@lists
def test_hostile_and_endless_words_are_shown_as_text(
    address: str, site: Repository, client: Client
) -> None:
    if address == "/commits/":
        CommitFactory.create(
            repository=site, message=f"{HOSTILE}\n\n{HOSTILE}", author_login=HOSTILE
        )
        CommitFactory.create(repository=site, message="W" * 9000)
    else:
        LISTS[address].create(
            repository=site, title=HOSTILE, labels=[HOSTILE], assignees=[HOSTILE], author=HOSTILE
        )
        LISTS[address].create(repository=site, title="W" * 9000)
    page = client.get(f"{address}?q=").content.decode()
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "W" * 150 not in page
    echoed = client.get(address, {"q": f'"><{HOSTILE}', "author": HOSTILE}).content.decode()
    assert HOSTILE not in echoed


@pytest.mark.spec("R18.6")
@lists
def test_a_list_needs_no_script_and_nothing_from_elsewhere(
    address: str, site: Repository, client: Client
) -> None:
    LISTS[address].create(repository=site)
    for page in (client.get(address), client.get(f"/repositories/{site.pk}/")):
        html = page.content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert not re.search(r"<script(?![^>]* src=\"/static/)", html)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html)


# -- one issue, one pull request -------------------------------------------------------------------


@pytest.mark.spec("R18.3", "R5.2")
def test_the_page_of_an_issue_shows_everything_as_text(site: Repository, client: Client) -> None:
    row = IssueFactory.create(
        repository=site,
        number=5,
        title=HOSTILE,
        body=f"First\n  second {HOSTILE}\n" + "y" * 3000,
        labels=["high", HOSTILE],
        assignees=["mona"],
        closed=True,
        github_created_at=clock.now() - timedelta(days=3),
    )
    page = client.get(f"/issues/{row.pk}/")
    html = page.content.decode()
    assert HOSTILE not in html
    assert '<div class="prose boxed">First\n  second &lt;script&gt;' in html
    for part in ("GH-5", "Closed High Late", "24 h, missed", "closed, completed", "mona"):
        assert part in text(page)
    assert f'href="/issues/?repository={site.pk}"' in html


@pytest.mark.spec("R18.3")
def test_the_page_of_a_pull_request_says_what_became_of_it(
    site: Repository, client: Client
) -> None:
    merged = PullRequestFactory.create(repository=site, was_merged=True, body=None, author=None)
    gone = PullRequestFactory.create(repository=site, gone=True)
    page = text(client.get(f"/pull-requests/{merged.pk}/"))
    for part in ("Merged", "as ffffffffff", "Nothing was written", "a deleted account", "nobody"):
        assert part in page
    assert "was found not to have it any more" in text(client.get(f"/pull-requests/{gone.pk}/"))


@pytest.mark.spec("R19.2")
def test_what_belongs_to_another_tenant_is_not_there(client: Client) -> None:
    issue, pull = IssueFactory.create(), PullRequestFactory.create()
    addresses = (
        f"/issues/{issue.pk}/",
        f"/pull-requests/{pull.pk}/",
        f"/repositories/{issue.repository.pk}/",
    )
    for address in addresses:
        assert client.get(address).status_code == 404
        assert Client().get(address).headers["Location"] == f"/login/?next={address}"
        assert browser(staff()).get(address).status_code == 200
    assert client.get("/issues/99999999999999999999999/").status_code == 404


# -- one repository --------------------------------------------------------------------------------


@pytest.mark.spec("R18.3", "R5.4", "R5.6")
def test_the_page_of_a_repository_says_how_it_is(site: Repository, client: Client) -> None:
    now = clock.now()
    RepositoryMetricFactory.create(
        repository=site,
        commits=5_120,
        contributors=14,
        lines_of_code=182_345,
        languages={"Python": 750, "Go": 249, "Shell": 1},
        health_score=90,
        open_issues=7,
        stars=7,
        has_ci=True,
        has_tests=None,
    )
    RepositoryMetricFactory.create(
        repository=site, date=(now - timedelta(days=1)).date(), health_score=60
    )
    IssueFactory.create_batch(2, repository=site)
    IssueFactory.create(repository=site, gone=True)
    CommitFactory.create_batch(3, repository=site, authored_at=now)
    ContentListFactory.create(
        repository=site, entity="issues", count=3, unreadable=1, read_at=now, whole_at=now
    )
    ContentListFactory.create(repository=site, count=5_120, item_limit=1_000, read_at=now)
    ContentListFactory.create(
        repository=site,
        entity="pull_requests",
        failures=2,
        failed_at=now,
        retry_at=now + timedelta(minutes=11),
        error=f"GitHub did not answer {HOSTILE}.",
    )
    response = client.get(f"/repositories/{site.pk}/")
    page = text(response)
    for part in (
        "Contributors estimate 14",
        "Lines of code estimate 182,345",
        "90 of 100",
        "Every repository has 50",
        "20 of 20",
        "Fewer than 5 open issues 7 0 of 10",
        "More than 10 contributors 14, an estimate 10 of 10",
        "Tests not known 0 of 10",
        "Python 75.0 % Go 24.9 % Other 0.1 %",
        "Issues 1 that GitHub counts is not shown to us. Read 3 2 just now",
        "Failed 2 times in a row; the next try is in 1",
        f"Failing {NONE} 0 never never",
        "Only the newest 1,000 are mirrored. Read 5,120 3",
        "Commits by day, 3 at most",
        f"{now:%Y-%m-%d} 3 90 7",
        f"{now - timedelta(days=1):%Y-%m-%d} {NONE} 60 2",
    ):
        assert part in page, part
    html = response.content.decode()
    assert HOSTILE not in html
    for name in ("issues", "pull-requests", "commits"):
        assert f'href="/{name}/?repository={site.pk}"' in html


@pytest.mark.spec("R18.3")
def test_a_repository_of_which_little_is_known_says_so(site: Repository, client: Client) -> None:
    page = text(client.get(f"/repositories/{site.pk}/"))
    assert page.count(f"Not read yet {NONE} 0 never never") == 3
    assert "Nothing was measured yet" in page
    assert "Day by day" not in page
    Repository.objects.filter(pk=site.pk).update(status="access_removed", homepage="javascript:x")
    gone = client.get(f"/repositories/{site.pk}/")
    assert "does not show this repository to us any more" in text(gone)
    assert 'href="javascript' not in gone.content.decode()
    assert f"/issues/?repository={site.pk}&amp;removed=true" in gone.content.decode()


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize("healthy", [True, False])
def test_the_parts_of_the_health_score_add_up_to_it(healthy: bool, site: Repository) -> None:
    now = clock.now()
    facts: dict[str, Any] = {
        "last_commit_at": now if healthy else now - timedelta(days=40),
        "open_issues": 9,
        "stars": 101 if healthy else 100,
        "contributors": 10,
        "has_ci": healthy,
        "has_tests": False,
    }
    score = normalizer.health_score(**facts, now=now)
    RepositoryMetricFactory.create(repository=site, health_score=score, **facts)
    shown = repository_facts.read(site, now)
    assert shown.base + sum(part.points for part in shown.parts) == score
    assert shown.base + sum(part.most for part in shown.parts) == 120


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ({}, []),
        ({"Go": 0}, []),
        ({"Go": 1}, [("Go", "100.0 %", 0.0, 100.0)]),
        ({f"L{n}": 10 for n in range(10)}, 7),
    ],
)
def test_shares_fill_the_bar(languages: dict[str, int], expected: Any) -> None:
    shown = repository_facts.shares(languages)
    if isinstance(expected, int):
        assert len(shown) == expected
        assert shown[-1].name == "Other"
        assert sum(share.width for share in shown) == pytest.approx(100)
    else:
        assert [(each.name, each.share, each.start, each.width) for each in shown] == expected


@pytest.mark.spec("R18.5")
def test_a_repository_costs_the_same_queries_however_much_it_holds(
    site: Repository, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(21):
        client.get(f"/repositories/{site.pk}/")
    IssueFactory.create_batch(30, repository=site)
    CommitFactory.create_batch(30, repository=site)
    for days in range(40):
        date = (clock.now() - timedelta(days=days)).date()
        RepositoryMetricFactory.create(repository=site, date=date)
    for entity in ("issues", "pull_requests", "commits"):
        ContentListFactory.create(repository=site, entity=entity)
    with django_assert_num_queries(21):
        client.get(f"/repositories/{site.pk}/")


# -- the ways there, and what a run did ------------------------------------------------------------


@pytest.mark.spec("R18.3", "R18.6")
def test_the_pages_lead_to_each_other(site: Repository, client: Client) -> None:
    home = client.get("/").content.decode()
    for address in LISTS:
        assert f'<a href="{address}">' in home
        assert f'<a href="{address}" aria-current="page">' in client.get(address).content.decode()
    account = client.get(f"/installations/{site.installation_id}/").content.decode()
    assert f'href="/repositories/{site.pk}/">acme/site</a>' in account
    for address in LISTS:
        assert f'href="{address}?installation={site.installation_id}"' in account


@pytest.mark.spec("R18.3", "R5.6")
def test_a_run_says_what_it_did_of_each_kind(site: Repository, client: Client) -> None:
    installation: Installation = site.installation
    job = SyncJobFactory.create(
        installation=installation,
        status="partial",
        counts={
            "repository_metrics": {"created": 5},
            "commits": {"created": 1_201, "unchanged": 300, "deleted": 4},
            "issues": {"created": 44, "updated": 2},
            "repositories": {"unchanged": 12},
            "pull_requests": {"errors": 1},
        },
        failures=[
            {
                "item": f"acme/site {number}",
                "operation": "read",
                "category": "server",
                "message": f"GitHub answered 502 {HOSTILE}.",
            }
            for number in range(150)
        ],
        plan=[
            {"operation": "create", "repository": "acme/new", "types": ["missing_repo"]},
            {
                "operation": "update",
                "entity": "issues",
                "item": "acme/site GH-3",
                "after": {"title": "x"},
            },
        ],
    )
    response = client.get(f"/jobs/{job.pk}/")
    page = text(response)
    assert "1,250 created 2 updated 312 unchanged 4 deleted 1 errors" in page
    assert (
        "Repositories 0 0 12 0 0 Issues 44 2 0 0 0 Pull requests 0 0 0 0 1 "
        "Commits 1,201 0 300 4 0 Repository metrics 5 0 0 0 0"
    ) in page
    assert page.count("GitHub answered 502") == 150
    assert "acme/new created Missing repo acme/site GH-3 Issues updated title" in page
    assert HOSTILE not in response.content.decode()
