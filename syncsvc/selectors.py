"""Read queries for people, and who may see and do what: every page and every API view starts here.

A tenant's rows are picked by membership in the query itself, so an object of another tenant is not
forbidden but absent. Staff see everything. What a role may do (R19.2):

| role | sees | starts syncs | cancels jobs | replays deliveries, resets breakers |
|---|---|---|---|---|
| member, support | yes | yes | those they asked for themselves | no |
| operator, admin | yes | yes | all of the installation | yes |
| staff | everything | yes | all | all |
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db.models import (
    BooleanField,
    Case,
    DateTimeField,
    DecimalField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Extract, Floor, Greatest, Least

from syncsvc import clock
from syncsvc.models import (
    Commit,
    ContentList,
    Installation,
    Issue,
    Membership,
    PullRequest,
    Repository,
    RepositoryMetric,
    SyncJob,
)

Viewer = Any  # request.user: a user, or nobody (AnonymousUser)

Content = TypeVar("Content", bound=Model)

OPERATING: Final = frozenset({Membership.Role.OPERATOR, Membership.Role.ADMIN})
#: What a list of contents shows of the repository; the rest of it is not read.
REPOSITORY_SHOWN: Final = ("installation", "owner", "name", "full_name", "status")
SECONDS_A_WEEK: Final = 7 * 24 * 60 * 60
MOST_WEEKS: Final = 20


def sees_everything(user: Viewer) -> bool:
    """Whether this is staff: the people who run the product see all tenants."""
    return bool(user.is_active and (user.is_staff or user.is_superuser))


def installations(user: Viewer) -> QuerySet[Installation]:
    """The installations that `user` may see."""
    rows = Installation.objects.all()
    if sees_everything(user):
        return rows
    return rows.filter(pk__in=member_of(user))


def repositories(user: Viewer) -> QuerySet[Repository]:
    """The repositories that `user` may see, each with `last_synced_at`, `commit_count`, `head_sha`.

    An unchanged run writes no row; that a repository was seen follows from its account's last whole
    listing, unless the row says that the listing lacked it or that its name went to another.
    How many commits it has and which is the newest comes from the last reading of their list; both
    are null before there was one.
    """
    commit_list = ContentList.objects.filter(
        repository=OuterRef("pk"), entity=ContentList.Entity.COMMITS
    )
    rows = Repository.objects.annotate(
        commit_count=Subquery(commit_list.values("count")),
        head_sha=Subquery(commit_list.values("head_sha")),
        last_synced_at=Case(
            When(
                status__in=Repository.PRESENT,
                missing_since__isnull=True,
                name_is_current=True,
                then=Greatest(F("last_written_at"), F("installation__last_listed_at")),
            ),
            default=F("last_written_at"),
        ),
    )
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def jobs(user: Viewer) -> QuerySet[SyncJob]:
    """The sync jobs that `user` may see, without the plan of a dry run (it can be long)."""
    rows = SyncJob.objects.select_related("installation", "requested_by").defer("plan")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def issues(user: Viewer) -> QuerySet[Issue]:
    """The issues that `user` may see, gone ones too, scored as of now (see `scored`)."""
    return scored(_contents(Issue.objects.all(), user), clock.now())


def pull_requests(user: Viewer) -> QuerySet[PullRequest]:
    """The pull requests that `user` may see, gone ones too."""
    return _contents(PullRequest.objects.all(), user)


def commits(user: Viewer) -> QuerySet[Commit]:
    """The commits that `user` may see, dropped ones too; nobody's address is read."""
    return _contents(Commit.objects.all(), user, without=("author_email", "contributor"))


def repository_metrics(user: Viewer) -> QuerySet[RepositoryMetric]:
    """The days of the repositories that `user` may see, of gone repositories too."""
    return _contents(RepositoryMetric.objects.all(), user)


def present(rows: QuerySet[Content]) -> QuerySet[Content]:
    """Of issues, pull requests, commits or metrics: those that GitHub still shows.

    That is, neither they nor their repository were found gone.
    """
    return rows.filter(_is_present(rows.model))


def gone(rows: QuerySet[Content]) -> QuerySet[Content]:
    """The others: those found gone themselves, and all of a repository that is gone."""
    return rows.exclude(_is_present(rows.model))


def scored(rows: QuerySet[Issue], now: datetime) -> QuerySet[Issue]:
    """Issues with `priority_score` and `breached` as of `now`, to be shown, filtered and ordered by.

    The same figures as `normalizer.priority_at` and `normalizer.is_breached`.
    """
    moment = Value(now, output_field=DateTimeField())
    age = ExpressionWrapper(moment - F("github_created_at"), output_field=DurationField())
    # PostgreSQL's seconds are exact decimals: a week is full at its last microsecond, not before.
    seconds = Extract(age, lookup_name="epoch", output_field=DecimalField())
    weeks = Least(
        Greatest(Cast(Floor(seconds / SECONDS_A_WEEK), IntegerField()), Value(0)),
        Value(MOST_WEEKS),
    )
    late = Q(state=Issue.State.CLOSED, closed_at__isnull=False, closed_at__gt=F("due_at"))
    overdue = ~Q(state=Issue.State.CLOSED) & Q(due_at__lt=moment)
    return rows.annotate(
        priority_score=Greatest(
            Least(F("priority_base") + weeks, Value(100)), Value(0), output_field=IntegerField()
        ),
        breached=ExpressionWrapper(late | overdue, output_field=BooleanField()),
    )


def may_cancel(user: Viewer, job: SyncJob) -> bool:
    """Whether `user`, who sees the job, may stop it."""
    if sees_everything(user) or job.requested_by_id == user.pk:
        return True
    return may_operate(user, job.installation_id)


def may_operate(user: Viewer, installation_id: int) -> bool:
    """Whether `user` may do with the account what needs the role operator or admin."""
    return installation_id in operated(user, [installation_id])


def operated(user: Viewer, installation_ids: Collection[int]) -> set[int]:
    """With which of these accounts `user` may do what needs the role operator or admin, in one query."""
    if sees_everything(user) or not installation_ids:
        return set(installation_ids)
    return set(
        Membership.objects.filter(
            user_id=user.pk, installation_id__in=installation_ids, role__in=OPERATING
        ).values_list("installation_id", flat=True)
    )


def cancellable(user: Viewer, rows: list[SyncJob]) -> set[Any]:
    """The ids of those jobs that `user` may stop, for a whole page in one query."""
    if sees_everything(user):
        return {row.pk for row in rows}
    operated = set(
        Membership.objects.filter(
            user_id=user.pk,
            role__in=OPERATING,
            installation__in=[row.installation_id for row in rows],
        ).values_list("installation_id", flat=True)
    )
    return {
        row.pk for row in rows if row.installation_id in operated or row.requested_by_id == user.pk
    }


def latest_jobs(shown: list[Installation]) -> dict[int, SyncJob]:
    """The last job of each of these installations that has ended, by installation; reading again what
    webhooks named goes on all the time and is none, nor is an audit."""
    ended = (
        SyncJob.objects.filter(installation__in=shown, finished_at__isnull=False)
        .exclude(mode__in=SyncJob.UNASKED)
        .order_by("installation_id", "-created_at")
        .distinct("installation_id")
        .select_related("requested_by")
        .defer("plan", "failures")
    )
    return {job.installation_id: job for job in ended}


def member_of(user: Viewer) -> QuerySet[Membership, int]:
    """The ids of the installations that `user` is a member of, as a subquery."""
    return Membership.objects.filter(user_id=user.pk).values_list("installation_id", flat=True)


def _contents(
    rows: QuerySet[Content], user: Viewer, without: tuple[str, ...] = ()
) -> QuerySet[Content]:
    """Those rows of repositories' contents that `user` may see, with the repository's name."""
    own = [field.name for field in rows.model._meta.concrete_fields if field.name not in without]
    shown = [f"repository__{name}" for name in REPOSITORY_SHOWN]
    rows = rows.select_related("repository").only(*own, *shown)
    if sees_everything(user):
        return rows
    return rows.filter(repository__installation__in=member_of(user))


def _is_present(model: type[Model]) -> Q:
    there = Q(repository__status__in=Repository.PRESENT)
    if model is Commit:
        return there & Q(dropped_at__isnull=True)
    if model is RepositoryMetric:
        return there
    return there & Q(removed_at__isnull=True)
