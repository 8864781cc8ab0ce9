"""The schema as a value: types with their fields and arguments.

Hides that it is read from a text, by the reader that reads queries too.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from syncsvc.simulator.graphql.language import Reader, TypeRef
from syncsvc.simulator.graphql.schema_text import SCHEMA

SCALARS = ("Int", "Float", "String", "Boolean", "ID")


@dataclass(frozen=True, slots=True)
class Argument:
    """What may be given to a field, or a part of an input; `default` is Ellipsis without one."""

    name: str
    type: TypeRef
    default: Any

    @property
    def needed(self) -> bool:
        """Whether it must be given."""
        return self.type.required and self.default is ...


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of a type."""

    name: str
    type: TypeRef
    arguments: dict[str, Argument]

    @property
    def paged(self) -> bool:
        """Whether it is a connection, of which one must say how much."""
        return self.type.inner.endswith("Connection")


@dataclass(slots=True)
class Type:
    """A type of any kind."""

    name: str
    kind: str
    """`type`, `interface`, `union`, `input`, `enum` or `scalar`."""
    interfaces: tuple[str, ...] = ()
    fields: dict[str, FieldType] = field(default_factory=dict)
    inputs: dict[str, Argument] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    """Of an enum; of a union the names of its members."""

    @property
    def leaf(self) -> bool:
        """Whether it has no fields to select."""
        return self.kind in {"scalar", "enum"}


class Schema:
    """Types by name."""

    def __init__(self, types: dict[str, Type]) -> None:
        """Find out which types may stand for which."""
        self.types = types
        self._possible: dict[str, tuple[str, ...]] = {
            t.name: t.values if t.kind == "union" else (t.name,) for t in types.values()
        }
        for kind in types.values():
            if kind.kind == "interface":
                members = [t.name for t in types.values() if kind.name in t.interfaces]
                self._possible[kind.name] = tuple(members)

    def possible(self, name: str) -> tuple[str, ...]:
        """The object types that a value of this type may have."""
        return self._possible[name]

    def is_a(self, concrete: str, name: str) -> bool:
        """Whether an object of one type is of the other too."""
        return concrete in self._possible[name]


@cache
def schema() -> Schema:
    """The simulator's schema."""
    reader = Reader(SCHEMA)
    types = {name: Type(name, "scalar") for name in SCALARS}
    while reader.peek().kind != "end":
        found = _definition(reader)
        types[found.name] = found
    return Schema(types)


def _definition(reader: Reader) -> Type:
    kind, name = reader.name(), reader.name()
    found = Type(name, kind)
    if kind == "union":
        reader.expect("=")
        found.values = _names(reader, "|")
        return found
    if kind == "scalar":
        return found
    if reader.has("implements"):
        found.interfaces = _names(reader, "&")
    reader.expect("{")
    if kind == "enum":
        found.values = tuple(reader.many("}", reader.name))
    elif kind == "input":
        found.inputs = {a.name: a for a in reader.many("}", lambda: _argument(reader))}
    else:
        found.fields = {f.name: f for f in reader.many("}", lambda: _field(reader))}
    return found


def _names(reader: Reader, mark: str) -> tuple[str, ...]:
    found = [reader.name()]
    while reader.has(mark):
        found.append(reader.name())
    return tuple(found)


def _field(reader: Reader) -> FieldType:
    name = reader.name()
    arguments = reader.many(")", lambda: _argument(reader)) if reader.has("(") else []
    reader.expect(":")
    return FieldType(name, reader.type(), {a.name: a for a in arguments})


def _argument(reader: Reader) -> Argument:
    name = reader.name()
    reader.expect(":")
    kind = reader.type()
    return Argument(name, kind, reader.value() if reader.has("=") else ...)
