"""The GraphQL language: text in, a tree of operations and fragments out.

Hides tokens. Follows the specification of October 2021 as far as queries go; the same reader
serves the schema.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from syncsvc.simulator.graphql.errors import QueryError

T = TypeVar("T")

TOKEN = re.compile(
    r"(?P<skip>(?:[\s,\ufeff]|\#[^\n\r]*)+)"
    r"|(?P<name>[_A-Za-z][_0-9A-Za-z]*)"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r'|(?P<block>"""(?:\\"""|[^"]|"(?!""))*""")'
    r'|(?P<string>"(?:\\.|[^"\\\n\r])*")'
    r"|(?P<mark>\.\.\.|[!$&()\:=@\[\]{}|])"
)
DEEPEST = 200


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a value or a mark, and where it begins."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name` where a value is expected."""

    name: str


@dataclass(frozen=True, slots=True)
class Enum:
    """A value without quotes."""

    name: str


@dataclass(frozen=True, slots=True)
class TypeRef:
    """`Name`, or a list of another type; with `!` or without."""

    name: str
    of: "TypeRef | None" = None
    required: bool = False

    def __str__(self) -> str:
        """As it is written."""
        return (f"[{self.of}]" if self.of else self.name) + ("!" if self.required else "")

    @property
    def inner(self) -> str:
        """The name of the type without lists around it."""
        return self.of.inner if self.of else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Directive:
    """`@include(if: $x)`."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a selection; `selections` is None without braces."""

    name: str
    alias: str | None
    arguments: dict[str, Any]
    directives: tuple[Directive, ...]
    selections: "tuple[Selection, ...] | None"
    location: dict[str, int]

    @property
    def key(self) -> str:
        """Its name in the answer."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """`...Name`."""

    name: str
    directives: tuple[Directive, ...]
    location: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Inline:
    """`... on Type { }`; without a type it is of the surrounding one."""

    on: str | None
    directives: tuple[Directive, ...]
    selections: "tuple[Selection, ...]"
    location: dict[str, int]


Selection = Field | Spread | Inline


@dataclass(frozen=True, slots=True, eq=False)
class VariableDefinition:
    """`$name: Type = default`; `default` is Ellipsis without one."""

    name: str
    type: TypeRef
    default: Any
    location: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Fragment:
    """`fragment Name on Type { }`."""

    name: str
    on: str
    selections: tuple[Selection, ...]
    location: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """`query Name($x: Int) { }`."""

    kind: str
    name: str | None
    variables: tuple[VariableDefinition, ...]
    selections: tuple[Selection, ...]
    location: dict[str, int]


@dataclass(slots=True)
class Document:
    """Everything in one text."""

    operations: list[Operation] = field(default_factory=list)
    fragments: dict[str, Fragment] = field(default_factory=dict)


@lru_cache(maxsize=256)
def parse(text: str) -> Document:
    """The tree of a text, the same object for the same text; QueryError where it is none."""
    return Reader(text).document()


class Reader:
    """Reads a text from its first token to its last."""

    def __init__(self, text: str) -> None:
        """Cut the text into tokens; QueryError for a letter that begins none."""
        self._text = text
        self._tokens: list[Token] = []
        self._next = 0
        self._depth = 0
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise self._error(f'Parse error on "{text[at]}" (error)', at)
            if match.lastgroup != "skip":
                self._tokens.append(Token(str(match.lastgroup), match[0], at))
            at = match.end()
        self._end = Token("end", "", len(text))

    def document(self) -> Document:
        """All definitions."""
        found = Document()
        while self.peek().kind != "end":
            location, token = self.location(), self.peek()
            if token.text == "fragment":
                self.take()
                name = self.name()
                self.expect("on")
                fragment = Fragment(name, self.name(), self._selections(), location)
                found.fragments[name] = fragment
            elif token.text in {"{", "query", "mutation", "subscription"}:
                found.operations.append(self._operation(location))
            else:
                raise self.unexpected()
        if not found.operations and not found.fragments:
            raise QueryError({"message": "Unexpected end of document", "locations": []})
        return found

    # Tokens

    def peek(self) -> Token:
        """The next token, which stays."""
        return self._tokens[self._next] if self._next < len(self._tokens) else self._end

    def take(self) -> Token:
        """The next token."""
        token = self.peek()
        self._next += 1
        return token

    def has(self, text: str) -> bool:
        """Take the next token if it is this mark or word."""
        token = self.peek()
        if token.text != text or token.kind not in {"mark", "name"}:
            return False
        self._next += 1
        return True

    def expect(self, text: str) -> None:
        """Take this mark or word; QueryError when there is another."""
        if not self.has(text):
            raise self.unexpected()

    def name(self) -> str:
        """Take a name."""
        if self.peek().kind != "name":
            raise self.unexpected()
        return self.take().text

    def location(self) -> dict[str, int]:
        """Where the next token is."""
        return self._location(self.peek().at)

    def unexpected(self) -> QueryError:
        """That the next token does not belong here."""
        token = self.peek()
        if token.kind == "end":
            return self._error("Unexpected end of document", token.at)
        return self._error(f'Parse error on "{token.text}" ({token.kind.upper()})', token.at)

    def many(self, end: str, one: Callable[[], T]) -> list[T]:
        """Things up to a mark, one at least."""
        found = [one()]
        while not self.has(end):
            found.append(one())
        return found

    # Parts

    def type(self) -> TypeRef:
        """A type as variables and schemas name it."""
        if self.has("["):
            of = self.type()
            self.expect("]")
            return TypeRef("", of, required=self.has("!"))
        return TypeRef(self.name(), None, required=self.has("!"))

    def value(self) -> Any:
        """A value: plain ones as in JSON, others as Variable or Enum."""
        token = self.take()
        match token.kind, token.text:
            case "number", text:
                return int(text) if text.lstrip("-").isdecimal() else float(text)
            case "string", text:
                return self._string(text, token.at)
            case "block", text:
                return text[3:-3].replace('\\"""', '"""').strip()
            case "mark", "$":
                return Variable(self.name())
            case "mark", "[":
                return [] if self.has("]") else self.many("]", self.value)
            case "mark", "{":
                return {} if self.has("}") else dict(self.many("}", self._entry))
            case "name", ("true" | "false" | "null") as text:
                return {"true": True, "false": False, "null": None}[text]
            case "name", text:
                return Enum(text)
        self._next -= 1
        raise self.unexpected()

    def _entry(self) -> tuple[str, Any]:
        name = self.name()
        self.expect(":")
        return name, self.value()

    def _operation(self, location: dict[str, int]) -> Operation:
        if self.peek().text == "{":
            return Operation("query", None, (), self._selections(), location)
        kind = self.name()
        name = self.name() if self.peek().kind == "name" else None
        variables = self.many(")", self._variable) if self.has("(") else []
        self._directives()
        return Operation(kind, name, tuple(variables), self._selections(), location)

    def _variable(self) -> VariableDefinition:
        location = self.location()
        self.expect("$")
        name = self.name()
        self.expect(":")
        kind = self.type()
        default = self.value() if self.has("=") else ...
        return VariableDefinition(name, kind, default, location)

    def _selections(self) -> tuple[Selection, ...]:
        self.expect("{")
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error("Query is nested too deeply", self.peek().at)
        found = tuple(self.many("}", self._selection))
        self._depth -= 1
        return found

    def _selection(self) -> Selection:
        location = self.location()
        if self.has("..."):
            if self.peek().kind == "name" and self.peek().text != "on":
                return Spread(self.name(), self._directives(), location)
            on = self.name() if self.has("on") else None
            return Inline(on, self._directives(), self._selections(), location)
        first = self.name()
        alias, name = (first, self.name()) if self.has(":") else (None, first)
        arguments = dict(self.many(")", self._entry)) if self.has("(") else {}
        directives = self._directives()
        selections = self._selections() if self.peek().text == "{" else None
        return Field(name, alias, arguments, directives, selections, location)

    def _directives(self) -> tuple[Directive, ...]:
        found = []
        while self.has("@"):
            name = self.name()
            arguments = dict(self.many(")", self._entry)) if self.has("(") else {}
            found.append(Directive(name, arguments))
        return tuple(found)

    def _string(self, text: str, at: int) -> str:
        try:
            value: str = json.loads(text, strict=False)
        except ValueError:
            raise self._error("Parse error on bad Unicode escape sequence", at) from None
        return value

    def _location(self, at: int) -> dict[str, int]:
        line = self._text.count("\n", 0, at) + 1
        return {"line": line, "column": at - (self._text.rfind("\n", 0, at) + 1) + 1}

    def _error(self, message: str, at: int) -> QueryError:
        place = self._location(at)
        told = f"{message} at [{place['line']}, {place['column']}]"
        return QueryError({"message": told, "locations": [place]})
