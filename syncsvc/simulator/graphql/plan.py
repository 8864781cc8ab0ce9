"""From the tree of a query to functions that read objects, and to its price.

Hides fragments, directives and variables: a `Plan` knows which keys an object of one type
shows and how each is read. Every selection is planned once, however many objects it meets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from syncsvc.simulator.graphql.errors import FieldError, QueryError
from syncsvc.simulator.graphql.language import Document, Field, Inline, Selection
from syncsvc.simulator.graphql.schema import FieldType, Schema, schema
from syncsvc.simulator.graphql.values import argument_value, arguments_of

LARGEST_PAGE = 100
MOST_IDS = 100

Getter = Callable[[Any], Any]
Binder = Callable[[Any, dict[str, Any]], Getter]
"""Given the world's side of things and arguments, what reads a field from an object."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A field whose reading depends on arguments or on the world."""

    bind: Binder
    key: Getter | None = None
    """What alone decides about the value: the same labels look the same on each issue."""


@dataclass(slots=True, eq=False)
class Plan:
    """What an object of one type shows; `requests` and `nodes` are for one such object."""

    fields: list[tuple[str, Getter]] = field(default_factory=list)
    requests: int = 0
    nodes: int = 0

    def run(self, found: Any) -> dict[str, Any]:
        """The object as it is sent."""
        return {key: read(found) for key, read in self.fields}


class Planner:
    """Plans one query with its variables."""

    def __init__(
        self,
        document: Document,
        variables: Mapping[str, Any],
        readers: Mapping[str, Mapping[str, Getter | Bound]],
        environment: Any,
        typename: Callable[[Any], str],
    ) -> None:
        """`readers`: by type and field. `environment` is given to those that are bound."""
        self._document = document
        self._variables = variables
        self._readers = readers
        self._environment = environment
        self._typename = typename
        self._schema: Schema = schema()
        self._plans: dict[tuple[str, tuple[int, ...]], Plan] = {}

    def plan(self, name: str, groups: list[tuple[Selection, ...]], path: list[str]) -> Plan:
        """What an object of a concrete type shows of these selections."""
        key = (name, tuple(map(id, groups)))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = Plan()
            for response_key, fields in self._collected(name, groups).items():
                getter = self._getter(name, fields, found, [*path, response_key])
                found.fields.append((response_key, getter))
        return found

    def _collected(self, name: str, groups: list[tuple[Selection, ...]]) -> dict[str, list[Field]]:
        """The fields by their keys in the answer, fragments unfolded and conflicts refused."""
        found: dict[str, list[Field]] = {}
        waiting = [selection for group in reversed(groups) for selection in reversed(group)]
        while waiting:
            selection = waiting.pop()
            if not self._included(selection):
                continue
            if isinstance(selection, Field):
                same = found.setdefault(selection.key, [])
                if same:
                    self._require_same(same[0], selection)
                same.append(selection)
                continue
            if isinstance(selection, Inline):
                on, inside = selection.on, selection.selections
            else:
                fragment = self._document.fragments[selection.name]
                on, inside = fragment.on, fragment.selections
            if on is None or self._schema.is_a(name, on):
                waiting += reversed(inside)
        return found

    def _included(self, selection: Selection) -> bool:
        for directive in selection.directives:
            condition = argument_value(directive.arguments.get("if"), self._variables)
            if bool(condition) == (directive.name == "skip"):
                return False
        return True

    def _require_same(self, one: Field, other: Field) -> None:
        if one.name != other.name:
            kind, told = "a field", f"{one.name} or {other.name}"
        elif one.arguments != other.arguments:
            kind, told = "an argument", "different arguments"
        else:
            return
        code = "fieldConflict"
        raise QueryError(
            {
                "locations": [one.location, other.location],
                "path": [],
                "extensions": {"code": code, "fieldName": one.key, "conflicts": told},
                "message": f"Field '{one.key}' has {kind} conflict: {told}?",
            }
        )

    def _getter(self, name: str, fields: list[Field], plan: Plan, path: list[str]) -> Getter:
        """How a field is read; what it costs is added to the plan that it belongs to."""
        first = fields[0]
        if first.name == "__typename":
            return lambda _: name
        known = self._schema.types[name].fields[first.name]
        arguments = arguments_of(known.arguments, first.arguments, self._variables)
        size = self._size(known, arguments, first, path)
        reader = self._readers[name][first.name]
        read = reader.bind(self._environment, arguments) if isinstance(reader, Bound) else reader
        inner = known.type.inner
        if self._schema.types[inner].leaf:
            return read
        groups = [f.selections for f in fields if f.selections is not None]
        plans = {one: self.plan(one, groups, path) for one in self._schema.possible(inner)}
        plan.requests += max(p.requests for p in plans.values()) * size + known.paged
        plan.nodes += max(p.nodes for p in plans.values()) * size
        if known.paged or (first.name == "nodes" and known.arguments):
            plan.nodes += size
        if known.type.of is not None:
            return self._list(known, read, plans, first)
        fallible = name == "Query" or known.name in FALLIBLE
        getter = self._object(read, plans, fallible=fallible, key=first)
        if isinstance(reader, Bound) and reader.key is not None:
            return memoized(getter, reader.key)
        return getter

    def _object(
        self, read: Getter, plans: dict[str, Plan], *, fallible: bool, key: Field
    ) -> Getter:
        if fallible:
            return self._fallible(read, plans, key)
        if len(plans) == 1:
            (only,) = plans.values()
            run, fields = only.run, only.fields
            if not fields:
                return lambda found: None if read(found) is None else {}

            def get_one(found: Any) -> Any:
                value = read(found)
                return None if value is None else run(value)

            return get_one
        typename = self._typename

        def get_any(found: Any) -> Any:
            value = read(found)
            return None if value is None else plans[typename(value)].run(value)

        return get_any

    def _fallible(self, read: Getter, plans: dict[str, Plan], key: Field) -> Getter:
        """A field that may say what is wrong with it and be null."""
        environment, typename = self._environment, self._typename

        def get(found: Any) -> Any:
            environment.path.append(key.key)
            try:
                value = read(found)
                return None if value is None else plans[typename(value)].run(value)
            except FieldError as error:
                environment.errors.append(error.shown(environment.path, [key.location]))
                return None
            finally:
                environment.path.pop()

        return get

    def _list(self, known: FieldType, read: Getter, plans: dict[str, Plan], key: Field) -> Getter:
        if len(plans) == 1 and not known.arguments:
            (only,) = plans.values()
            run = only.run

            def get_all(found: Any) -> Any:
                values = read(found)
                return None if values is None else [run(value) for value in values]

            return get_all
        environment, typename = self._environment, self._typename

        def get_each(found: Any) -> list[Any]:
            shown: list[Any] = []
            for index, make in enumerate(read(found)):
                environment.path[:] = [key.key, index]
                try:
                    value = make()
                    shown.append(plans[typename(value)].run(value))
                except FieldError as error:
                    environment.errors.append(error.shown(environment.path, [key.location]))
                    shown.append(None)
            environment.path.clear()
            return shown

        return get_each

    def _size(
        self, known: FieldType, arguments: dict[str, Any], field_: Field, path: list[str]
    ) -> int:
        """How many objects the field may bring for each of its parents."""
        if not known.paged:
            ids = arguments.get("ids")
            if ids is not None and len(ids) > MOST_IDS:
                text = f"You may not provide more than 100 node ids; you provided {len(ids)}."
                raise _refused("ARGUMENT_LIMIT", text, field_, path)
            return 1 if ids is None else len(ids)
        sizes = {n: arguments[n] for n in ("first", "last") if arguments.get(n) is not None}
        if not sizes:
            text = (
                "You must provide a `first` or `last` value to properly paginate the "
                f"`{known.name}` connection."
            )
            raise _refused("MISSING_PAGINATION_BOUNDARIES", text, field_, path)
        for name, size in sizes.items():
            if size > LARGEST_PAGE:
                text = (
                    f"Requesting {size} records on the `{known.name}` connection exceeds the "
                    f"`{name}` limit of {LARGEST_PAGE} records."
                )
                raise _refused("EXCESSIVE_PAGINATION", text, field_, path)
            if size < 0:
                text = f"`{name}` on the `{known.name}` connection cannot be less than zero."
                raise _refused("INVALID_PAGINATION", text, field_, path)
        return int(min(sizes.values()))


FALLIBLE = ("issue", "issueOrPullRequest", "pullRequest", "repository", "object", "ref")


def points(plan: Plan) -> int:
    """The price of a query: requests for its connections, divided by 100, at least 1."""
    return max(1, (plan.requests + 50) // 100)


def memoized(read: Getter, key: Getter) -> Getter:
    """What is shown once is shown again wherever the key is the same."""
    known: dict[Any, Any] = {}

    def get(found: Any) -> Any:
        chosen = key(found)
        shown = known.get(chosen, known)
        if shown is known:
            shown = known[chosen] = read(found)
        return shown

    return get


def _refused(kind: str, text: str, field_: Field, path: list[str]) -> QueryError:
    error = {"type": kind, "path": path, "locations": [field_.location], "message": text}
    return QueryError(error, data=True)
