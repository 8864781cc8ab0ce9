"""What could be drawn for an audit, and the drawing itself (R8.3).

Hides how a random item is found without reading a table: its list is picked by how long it is, and the
item by its place in an index of that list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from django.db import connection

from reconciliation.findings import REPOSITORIES
from reconciliation.needs import wanted
from reconciliation.sampling import Place, places
from syncsvc import content_lists, contents
from syncsvc.content_plan import Key
from syncsvc.github.reading import Entity
from syncsvc.models import Commit, ContentList, Issue, PullRequest, Repository

ENTITIES: Final = (REPOSITORIES, *map(str, Entity))

#: The row that a number of others precede, by an index of the list: table, columns, order, what is there.
_ROWS: Final = {
    Entity.ISSUES: (Issue, "github_id, number", "number", "removed_at"),
    Entity.PULL_REQUESTS: (PullRequest, "github_id, number", "number", "removed_at"),
    Entity.COMMITS: (Commit, "sha, NULL::integer", "committed_at DESC, id", "dropped_at"),
}


class Side(StrEnum):
    """Whose list an item was drawn from: the mirror's shows what is stale or should not be there,
    GitHub's what the mirror lacks."""

    MIRROR = "mirror"
    GITHUB = "github"


Stratum = tuple[str, Side]
"""An entity, and whose list of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A repository of the account as the mirror has it; `pk` is 0 of one that it lacks."""

    pk: int
    github_id: int
    node_id: str
    full_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One item of a sample. What was drawn from the mirror has a `home`, and in it a `key`; what was drawn
    from GitHub has a place: `offset` in a list that had `known` items when it was last read."""

    entity: str
    side: Side
    home: Home | None = None
    key: Key | None = None
    number: int | None = None
    offset: int = 0
    known: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What an account has, by its own counts and by GitHub's as of the last readings."""

    homes: Sequence[Home]
    #: The repositories whose lists are read.
    read: Sequence[Home]
    held: Mapping[tuple[int, Entity], int] = field(default_factory=dict)
    told: Mapping[tuple[int, Entity], int] = field(default_factory=dict)

    def populations(self) -> dict[Stratum, int]:
        """How many items each stratum has."""
        found: dict[Stratum, int] = {
            (REPOSITORIES, Side.MIRROR): len(self.homes),
            (REPOSITORIES, Side.GITHUB): len(self.homes),
        }
        for entity in Entity:
            found[str(entity), Side.MIRROR] = sum(self.lengths(self.held, entity))
            found[str(entity), Side.GITHUB] = sum(self.lengths(self.told, entity))
        return found

    def lengths(self, counts: Mapping[tuple[int, Entity], int], *entities: Entity) -> list[int]:
        """How long these lists are together, of each repository that is read."""
        return [sum(counts.get((home.pk, each), 0) for each in entities) for home in self.read]


def survey(installation_id: int, commit_limit: int) -> Survey:
    """Counts what the account has, in three queries; lists that were never read count as empty."""
    rows = Repository.objects.filter(
        installation_id=installation_id,
        status__in=Repository.PRESENT,
        missing_since__isnull=True,  # known to be in doubt
    ).order_by("pk")
    homes, read = [], []
    names = ("pk", "github_id", "node_id", "full_name", "status", "name_is_current")
    for pk, github_id, node_id, full_name, status, current in rows.values_list(*names):
        home = Home(pk=pk, github_id=github_id, node_id=node_id, full_name=full_name)
        homes.append(home)
        if current and status in content_lists.READ:
            read.append(home)
    pks = [home.pk for home in read]
    lists = ContentList.objects.filter(repository__in=pks, count__gt=0)
    return Survey(
        homes=homes,
        read=read,
        held=contents.counts(pks),
        told={
            (pk, Entity(entity)): wanted(Entity(entity), count, commit_limit)
            for pk, entity, count in lists.values_list("repository_id", "entity", "count")
            if count is not None
        },
    )


def draw(found: Survey, sizes: Mapping[Stratum, int], random: Random) -> list[Drawn]:
    """So many items of each stratum, in random order: whoever stops early has a sample all the same.

    GitHub's list of issues has the pull requests among them. So both are drawn together from it, and
    each counts as what it turns out to be.
    """
    drawn = _repositories(found, sizes, random)
    for entity in Entity:
        size = sizes.get((str(entity), Side.MIRROR), 0)
        chosen = places(found.lengths(found.held, entity), size, random)
        drawn += _rows(entity, found.read, chosen)
    numbered = (Entity.ISSUES, Entity.PULL_REQUESTS)
    for entities in (numbered, (Entity.COMMITS,)):
        size = sum(sizes.get((str(each), Side.GITHUB), 0) for each in entities)
        lengths = found.lengths(found.told, *entities)
        drawn += [
            Drawn(
                entity=str(entities[0]),
                side=Side.GITHUB,
                home=found.read[place.list],
                offset=place.offset,
                known=lengths[place.list],
            )
            for place in places(lengths, size, random)
        ]
    random.shuffle(drawn)
    return drawn


def _repositories(found: Survey, sizes: Mapping[Stratum, int], random: Random) -> list[Drawn]:
    total = len(found.homes)
    ours = random.sample(found.homes, min(total, sizes.get((REPOSITORIES, Side.MIRROR), 0)))
    theirs = random.sample(range(total), min(total, sizes.get((REPOSITORIES, Side.GITHUB), 0)))
    return [
        Drawn(entity=REPOSITORIES, side=Side.MIRROR, home=home, key=home.github_id) for home in ours
    ] + [
        Drawn(entity=REPOSITORIES, side=Side.GITHUB, offset=offset, known=total)
        for offset in theirs
    ]


def _rows(entity: Entity, homes: Sequence[Home], chosen: Sequence[Place]) -> list[Drawn]:
    """The mirror's rows at these places, all in one query."""
    if not chosen:
        return []
    model, columns, order, gone = _ROWS[entity]
    sql = f"""
        SELECT w.place, r.* FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS w(place, home, before)
        CROSS JOIN LATERAL (
            SELECT {columns} FROM {model._meta.db_table} AS t
            WHERE t.repository_id = w.home AND t.{gone} IS NULL
            ORDER BY {order} OFFSET w.before LIMIT 1
        ) AS r
    """  # noqa: S608  (all names are ours)
    pks = [homes[place.list].pk for place in chosen]
    offsets = [place.offset for place in chosen]
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(range(len(chosen))), pks, offsets])
        rows = cursor.fetchall()
    drawn = []
    for index, name, number in sorted(rows):
        home = homes[chosen[index].list]
        key: Key = (home.pk, name) if entity is Entity.COMMITS else name
        drawn.append(Drawn(entity=str(entity), side=Side.MIRROR, home=home, key=key, number=number))
    return drawn
