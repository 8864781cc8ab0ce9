"""Whether a value fits a type, and what becomes of it.

Hides the difference between values written in a query and values given as variables.
"""

from collections.abc import Mapping
from typing import Any

from syncsvc.simulator.graphql.errors import QueryError
from syncsvc.simulator.graphql.language import (
    Enum,
    Field,
    Operation,
    TypeRef,
    Variable,
    VariableDefinition,
)
from syncsvc.simulator.graphql.schema import Argument, Schema
from syncsvc.simulator.records import epoch

LARGEST_INT = 2**31


class Misfit(ValueError):
    """A value that does not fit; its text says why."""


def literal_fits(schema: Schema, value: Any, kind: TypeRef) -> bool:
    """Whether a value written in a query fits; variables are judged elsewhere."""
    if isinstance(value, Variable):
        return True
    if value is None:
        return not kind.required
    if kind.of is not None:
        items = value if isinstance(value, list) else [value]
        return all(literal_fits(schema, item, kind.of) for item in items)
    named = schema.types[kind.name]
    if named.kind == "enum":
        return isinstance(value, Enum) and value.name in named.values
    if named.kind == "input":
        if not isinstance(value, dict) or not value.keys() <= named.inputs.keys():
            return False
        return all(
            literal_fits(schema, value[a.name], a.type) if a.name in value else not a.needed
            for a in named.inputs.values()
        )
    return not isinstance(value, Enum | dict | list) and _scalar_fits(kind.name, value)


def coerced(schema: Schema, value: Any, kind: TypeRef) -> Any:
    """A variable's value as fields get it; raises Misfit."""
    if value is None:
        if kind.required:
            raise Misfit("Expected value to not be null")
        return None
    if kind.of is not None:
        items = value if isinstance(value, list) else [value]
        return [coerced(schema, item, kind.of) for item in items]
    named = schema.types[kind.name]
    if named.kind == "enum":
        if value not in named.values:
            raise Misfit(f'Expected "{value}" to be one of: {", ".join(named.values)}')
        return value
    if named.kind == "input":
        if not isinstance(value, dict):
            raise Misfit(f'Expected "{value}" to be a key-value object.')
        for key in value:
            if key not in named.inputs:
                raise Misfit(f"Field is not defined on {kind.name}")
        return _filled(schema, value, named.inputs)
    if not _scalar_fits(kind.name, value):
        raise Misfit(f"Could not coerce value {value!r} to {kind.name}")
    return value


def variables_of(schema: Schema, operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an operation's variables; QueryError for what does not fit."""
    values: dict[str, Any] = {}
    errors = []
    for variable in operation.variables:
        if variable.name not in given and variable.default is not ...:
            values[variable.name] = argument_value(variable.default, {})
            continue
        if variable.name not in given and not variable.type.required:
            continue
        value = given.get(variable.name)
        try:
            values[variable.name] = coerced(schema, value, variable.type)
        except Misfit as misfit:
            errors.append(
                {
                    "extensions": {
                        "value": value,
                        "problems": [{"path": [], "explanation": str(misfit)}],
                    },
                    "locations": [variable.location],
                    "message": f"Variable ${variable.name} of type {variable.type} was provided "
                    "invalid value",
                }
            )
    if errors:
        raise QueryError(*errors)
    return values


def argument_value(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value written in a query, with variables put in; enums become their names."""
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list):
        return [argument_value(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: argument_value(item, variables) for key, item in value.items()}
    return value


def arguments_of(
    known: Mapping[str, Argument], given: Mapping[str, Any], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """All arguments of a field, defaults among them; what was not given is not there."""
    found = {}
    for name, argument in known.items():
        value = given.get(name, ...)
        if isinstance(value, Variable) and value.name not in variables:
            value = ...
        if value is ...:
            value = argument.default
        if value is not ...:
            found[name] = argument_value(value, variables)
    return found


def _filled(schema: Schema, value: dict[str, Any], inputs: dict[str, Argument]) -> dict[str, Any]:
    found = {}
    for name, part in inputs.items():
        if name in value:
            found[name] = coerced(schema, value[name], part.type)
        elif part.default is not ...:
            found[name] = argument_value(part.default, {})
        elif part.type.required:
            raise Misfit("Expected value to not be null")
    return found


def _scalar_fits(name: str, value: Any) -> bool:
    match name:
        case "Int":
            return type(value) is int and -LARGEST_INT <= value < LARGEST_INT
        case "Float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Boolean":
            return isinstance(value, bool)
        case "ID":
            return isinstance(value, str) or type(value) is int
        case "DateTime" | "GitTimestamp":
            return isinstance(value, str) and epoch(value) is not None
        case _:
            return isinstance(value, str)


def fits(variable: VariableDefinition, wanted: TypeRef, *, has_default: bool) -> bool:
    """Whether a variable may be used where a type is wanted."""
    given = variable.type
    if wanted.required and not given.required:
        if not has_default and (variable.default is ... or variable.default is None):
            return False
        wanted = TypeRef(wanted.name, wanted.of)
    return _within(given, wanted)


def _within(given: TypeRef, wanted: TypeRef) -> bool:
    if wanted.required and not given.required:
        return False
    if wanted.of is not None:
        return given.of is not None and _within(given.of, wanted.of)
    return given.of is None and given.name == wanted.name


def written(value: Any) -> str:
    """A value as it is written in a query."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return f'"{value}"'
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{k}: {written(v)}" for k, v in value.items()) + "}"
        case Variable():
            return f"${value.name}"
        case _:
            return str(getattr(value, "name", value))


def mismatch(field: Field, inside: str) -> str:
    """That a field has braces and must not, or the other way round."""
    if field.selections is None:
        return (
            f"Field must have selections (field '{field.name}' returns {inside} but has no "
            f"selections. Did you mean '{field.name} {{ ... }}'?)"
        )
    chosen = ", ".join(f'"{s.name}"' for s in field.selections if isinstance(s, Field))
    return (
        f"Selections can't be made on scalars (field '{field.name}' returns {inside} but "
        f"has selections [{chosen}])"
    )
