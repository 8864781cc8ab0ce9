"""Filters of issues, pull requests, commits and daily metrics.

Unless asked for what is gone, a list holds what GitHub still shows; that default is the view's.
"""

import re
from typing import Any, Final

import django_filters
from django.contrib.postgres.fields import ArrayField
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Lower

from syncsvc import selectors
from syncsvc.api.filters import IdFilter, TrueOrFalseFilter
from syncsvc.models import Commit, Issue, PullRequest, RepositoryMetric

NUMBER: Final = re.compile(r"(?:GH-|#)?([0-9]{1,10})", re.IGNORECASE)
#: Shorter ones are words more often than the beginning of a sha; git itself takes no fewer than 4.
SHA_PREFIX: Final = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
GITHUB_STATES: Final = [("open", "Open"), ("closed", "Closed")]


def _gone(label: str) -> TrueOrFalseFilter:
    return TrueOrFalseFilter(method="only_gone", label=label)


def after(field: str) -> Any:
    """A filter `<name>_after`: at that time or later."""
    return django_filters.IsoDateTimeFilter(
        field_name=field, lookup_expr="gte", label="At this time or later."
    )


def before(field: str) -> Any:
    """A filter `<name>_before`: before that time."""
    return django_filters.IsoDateTimeFilter(
        field_name=field, lookup_expr="lt", label="Before this time."
    )


def _login(label: str, **options: Any) -> Any:
    return django_filters.CharFilter(
        lookup_expr="iexact", label=f"{label}, in any case.", **options
    )


class ContentFilters(django_filters.FilterSet):
    """What the contents of repositories have in common."""

    repository = IdFilter(field_name="repository_id", label="Our id of the repository.")
    installation = IdFilter(
        field_name="repository__installation_id", label="Our id of the installation."
    )

    def only_gone(self, rows: QuerySet[Any], _name: str, value: bool) -> QuerySet[Any]:
        """Those that are gone, or those that are not."""
        return selectors.gone(rows) if value else selectors.present(rows)


class ItemFilters(ContentFilters):
    """What issues and pull requests have in common."""

    q = django_filters.CharFilter(
        method="search",
        label="Part of the title, in any case, or the number: `12`, `#12` or `GH-12`.",
    )
    author = _login("Login of the author")
    assignee = _login("Login of one of the assignees", method="assigned_to")
    label = django_filters.CharFilter(
        method="labelled", strip=False, label="One of the labels, exactly as it is written."
    )
    updated_after = after("github_updated_at")
    updated_before = before("github_updated_at")
    removed = _gone(
        "`true`: those that GitHub has no more, or whose repository is gone. `false`, as without "
        "it: the others."
    )

    def search(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """By a part of the title, or by the number."""
        wanted = Q(title__icontains=value)
        if number := NUMBER.fullmatch(value):
            wanted |= Q(number=int(number[1]))
        return rows.filter(wanted)

    def assigned_to(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """By a login, whose case says nothing at GitHub."""
        logins = Cast(Lower(Cast("assignees", TextField())), ArrayField(TextField()))
        matching: QuerySet[Any] = rows.alias(logins=logins).filter(logins__contains=[value.lower()])
        return matching

    def labelled(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """By one of the labels."""
        return rows.filter(labels__contains=[value])


class IssueFilters(ItemFilters):
    """How the list of issues can be narrowed."""

    state = django_filters.ChoiceFilter(choices=Issue.State.choices)
    github_state = django_filters.ChoiceFilter(choices=GITHUB_STATES)
    severity = django_filters.ChoiceFilter(choices=Issue.Severity.choices)
    is_blocker = TrueOrFalseFilter()
    breached = TrueOrFalseFilter(
        label="Whether it was closed after `due_at`, or is open and `due_at` is over."
    )

    class Meta:
        model = Issue
        fields: list[str] = []


class PullRequestFilters(ItemFilters):
    """How the list of pull requests can be narrowed."""

    state = django_filters.ChoiceFilter(choices=PullRequest.State.choices)
    draft = TrueOrFalseFilter()
    merged = TrueOrFalseFilter()
    base_ref = django_filters.CharFilter(strip=False, label="The branch it asks to change.")

    class Meta:
        model = PullRequest
        fields: list[str] = []


class CommitFilters(ContentFilters):
    """How the list of commits can be narrowed."""

    q = django_filters.CharFilter(
        method="search",
        label="Part of the message, in any case, or the first 4 or more characters of the sha.",
    )
    author = _login("Login of the author", field_name="author_login")
    committed_after = after("committed_at")
    committed_before = before("committed_at")
    dropped = _gone(
        "`true`: those that a forced push dropped from the branch, or whose repository is gone. "
        "`false`, as without it: the others."
    )

    class Meta:
        model = Commit
        fields: list[str] = []

    def search(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """By a part of the message, or by the beginning of the sha."""
        wanted = Q(message__icontains=value)
        if SHA_PREFIX.fullmatch(value):
            wanted |= Q(sha__startswith=value.lower())
        return rows.filter(wanted)


class MetricFilters(ContentFilters):
    """How the list of daily metrics can be narrowed."""

    date = django_filters.DateFilter()
    date_after = django_filters.DateFilter(
        field_name="date", lookup_expr="gte", label="On this day or later."
    )
    date_before = django_filters.DateFilter(
        field_name="date", lookup_expr="lt", label="Before this day."
    )
    q = django_filters.CharFilter(
        field_name="repository__full_name",
        lookup_expr="icontains",
        label="Part of OWNER/NAME, in any case.",
    )
    removed = _gone(
        "`true`: those of repositories that are gone. `false`, as without it: the others."
    )

    class Meta:
        model = RepositoryMetric
        fields: list[str] = []
