"""What can be said against a query without running it, in the words of GitHub's library.

Hides the walk through operations and fragments. The outcome depends on the text alone, so
that it is kept.
"""

from functools import lru_cache
from typing import Any

from syncsvc.simulator.graphql.errors import QueryError, invalid
from syncsvc.simulator.graphql.language import (
    Document,
    Field,
    Fragment,
    Inline,
    Operation,
    Selection,
    Spread,
    TypeRef,
    Variable,
    VariableDefinition,
    parse,
)
from syncsvc.simulator.graphql.schema import FieldType, Schema, Type, schema
from syncsvc.simulator.graphql.values import fits, literal_fits, mismatch, written

DIRECTIVES = ("include", "skip")
BOOLEAN = TypeRef("Boolean", None, required=True)
TYPENAME = FieldType("__typename", TypeRef("String", None, required=True), {})


@lru_cache(maxsize=256)
def checked(text: str, name: str | None) -> tuple[Document, Operation]:
    """The tree of a query and the operation to run; QueryError with all that is wrong."""
    document = parse(text)
    operation = _chosen(document, name)
    errors: list[dict[str, Any]] = []
    used: set[str] = set()
    for one in document.operations:
        errors += _Check(document, one).errors(used)
    for fragment in document.fragments.values():
        if fragment.name not in used:
            errors.append(
                invalid(
                    f"Fragment {fragment.name} was defined, but not used",
                    [f"fragment {fragment.name}"],
                    fragment.location,
                    "useAndDefineFragment",
                    fragmentName=fragment.name,
                )
            )
    if errors:
        raise QueryError(*errors)
    return document, operation


def _chosen(document: Document, name: str | None) -> Operation:
    if not document.operations:
        raise QueryError({"message": "No operation was given.", "locations": []})
    if name is None and len(document.operations) == 1:
        return document.operations[0]
    for operation in document.operations:
        if name is not None and operation.name == name:
            return operation
    if name is None:
        raise QueryError({"message": "An operation name is required", "locations": []})
    raise QueryError({"message": f'No operation named "{name}"', "locations": []})


class _Check:
    """One operation with the fragments that it uses."""

    def __init__(self, document: Document, operation: Operation) -> None:
        self._document = document
        self._operation = operation
        self._schema: Schema = schema()
        self._errors: list[dict[str, Any]] = []
        self._variables = {v.name: v for v in operation.variables}
        self._used: set[str] = set()
        self._open: list[str] = []
        self._done: set[str] = set()

    def errors(self, used: set[str]) -> list[dict[str, Any]]:
        """All that is wrong; names of used fragments go into `used`."""
        operation = self._operation
        path = [f"{operation.kind} {operation.name}" if operation.name else operation.kind]
        if operation.kind != "query":
            self._say(
                f"The simulator has no {operation.kind}s", path, operation.location, "unsupported"
            )
            return self._errors
        for variable in operation.variables:
            self._declared(variable, path)
        self._selections(operation.selections, self._schema.types["Query"], path)
        for name, variable in self._variables.items():
            if name not in self._used:
                told = operation.name or "anonymous query"
                self._say(
                    f"Variable ${name} is declared by {told} but not used",
                    path,
                    variable.location,
                    "variableNotUsed",
                    variableName=name,
                )
        used |= self._done
        return self._errors

    def _say(self, message: str, path: list[str], at: Any, code: str, **more: Any) -> None:
        self._errors.append(invalid(message, path, at, code, **more))

    def _declared(self, variable: VariableDefinition, path: list[str]) -> None:
        known = self._schema.types.get(variable.type.inner)
        if known is None or known.kind not in {"scalar", "enum", "input"}:
            self._say(
                f"{variable.type.inner} isn't a defined input type (on ${variable.name})",
                path,
                variable.location,
                "variableRequiresValidType",
                typeName=variable.type.inner,
                variableName=variable.name,
            )

    def _selections(self, selections: tuple[Selection, ...], parent: Type, path: list[str]) -> None:
        for selection in selections:
            self._directives(selection, path)
            match selection:
                case Field():
                    self._field(selection, parent, [*path, selection.key])
                case Inline():
                    on = selection.on or parent.name
                    self._fragment(
                        on, selection.selections, parent, [*path, f"... on {on}"], selection
                    )
                case Spread():
                    self._spread(selection, parent, path)

    def _spread(self, spread: Spread, parent: Type, path: list[str]) -> None:
        fragment = self._document.fragments.get(spread.name)
        if fragment is None:
            self._say(
                f"Fragment {spread.name} was used, but not defined",
                path,
                spread.location,
                "useAndDefineFragment",
                fragmentName=spread.name,
            )
            return
        if spread.name in self._open:
            self._say(
                f"Fragment {spread.name} contains an infinite loop",
                path,
                fragment.location,
                "infiniteLoop",
                fragmentName=spread.name,
            )
            return
        first = spread.name not in self._done
        self._done.add(spread.name)
        if self._suits(fragment.on, parent, spread, path) and first:
            self._open.append(spread.name)
            inside = self._schema.types[fragment.on]
            self._selections(fragment.selections, inside, [f"fragment {fragment.name}"])
            self._open.pop()

    def _fragment(
        self,
        on: str,
        selections: tuple[Selection, ...],
        parent: Type,
        path: list[str],
        source: Inline,
    ) -> None:
        if self._suits(on, parent, source, path):
            self._selections(selections, self._schema.types[on], path)

    def _suits(
        self, on: str, parent: Type, source: Inline | Spread | Fragment, path: list[str]
    ) -> bool:
        """Whether a fragment on that type may stand there at all."""
        found = self._schema.types.get(on)
        if found is None:
            self._say(
                f"No such type {on}, so it can't be a fragment condition",
                path,
                source.location,
                "undefinedType",
                typeName=on,
            )
            return False
        possible = set(self._schema.possible(on)) if not found.leaf else set()
        if possible & set(self._schema.possible(parent.name)):
            return True
        name = f" {source.name}" if isinstance(source, Spread) else ""
        self._say(
            f"Fragment{name} on {on} can't be spread inside {parent.name}",
            path,
            source.location,
            "cannotSpreadFragment",
            typeName=on,
            fragmentName=name.strip() or "unknown",
            parentName=parent.name,
        )
        return False

    def _field(self, field: Field, parent: Type, path: list[str]) -> None:
        known = TYPENAME if field.name == "__typename" else parent.fields.get(field.name)
        if known is None:
            self._say(
                f"Field '{field.name}' doesn't exist on type '{parent.name}'",
                path,
                field.location,
                "undefinedField",
                typeName=parent.name,
                fieldName=field.name,
            )
            return
        self._arguments(field, known, path)
        inside = self._schema.types[known.type.inner]
        if inside.leaf == (field.selections is None):
            if field.selections is not None:
                self._selections(field.selections, inside, path)
            return
        self._say(
            mismatch(field, inside.name),
            path,
            field.location,
            "selectionMismatch",
            nodeName=f"field '{field.name}'",
            typeName=inside.name,
        )

    def _arguments(self, field: Field, known: FieldType, path: list[str]) -> None:
        for name, value in field.arguments.items():
            argument = known.arguments.get(name)
            if argument is None:
                self._say(
                    f"Field '{field.name}' doesn't accept argument '{name}'",
                    [*path, name],
                    field.location,
                    "argumentNotAccepted",
                    name=field.name,
                    typeName="Field",
                    argumentName=name,
                )
                continue
            has_default = argument.default is not ...
            self._variables_in(value, argument.type, name, field, path, has_default=has_default)
            if not literal_fits(self._schema, value, argument.type):
                self._say(
                    f"Argument '{name}' on Field '{field.name}' has an invalid value "
                    f"({written(value)}). Expected type '{argument.type}'.",
                    [*path, name],
                    field.location,
                    "argumentLiteralsIncompatible",
                    typeName="Field",
                    argumentName=name,
                )
        missing = [a.name for a in known.arguments.values() if a.needed]
        missing = [name for name in missing if name not in field.arguments]
        if missing:
            self._say(
                f"Field '{field.name}' is missing required arguments: {', '.join(missing)}",
                path,
                field.location,
                "missingRequiredArguments",
                className="Field",
                name=field.name,
                arguments=", ".join(missing),
            )

    def _variables_in(
        self,
        value: Any,
        kind: TypeRef,
        name: str,
        field: Field,
        path: list[str],
        *,
        has_default: bool = False,
    ) -> None:
        """Judge the variables in an argument's value."""
        if isinstance(value, Variable):
            self._variable(value, kind, name, field, path, has_default=has_default)
        elif isinstance(value, list):
            for item in value:
                self._variables_in(item, kind.of or kind, name, field, path)
        elif isinstance(value, dict):
            inputs = self._schema.types[kind.inner].inputs
            for key, item in value.items():
                if key in inputs:
                    default = inputs[key].default is not ...
                    self._variables_in(
                        item, inputs[key].type, key, field, path, has_default=default
                    )

    def _variable(
        self,
        variable: Variable,
        kind: TypeRef,
        name: str,
        field: Field,
        path: list[str],
        *,
        has_default: bool,
    ) -> None:
        self._used.add(variable.name)
        declared = self._variables.get(variable.name)
        if declared is None:
            self._say(
                f"Variable ${variable.name} is used by "
                f"{self._operation.name or 'anonymous query'} but not declared",
                path,
                field.location,
                "variableNotDefined",
                variableName=variable.name,
            )
        elif not fits(declared, kind, has_default=has_default):
            self._say(
                f"Type mismatch on variable ${variable.name} and argument {name} "
                f"({declared.type} / {kind})",
                path,
                field.location,
                "variableMismatch",
                variableName=variable.name,
                typeName=str(declared.type),
                argumentName=name,
                errorMessage="Type mismatch",
            )

    def _directives(self, selection: Selection, path: list[str]) -> None:
        for directive in selection.directives:
            if directive.name not in DIRECTIVES:
                self._say(
                    f"Directive @{directive.name} is not defined",
                    path,
                    selection.location,
                    "undefinedDirective",
                    directiveName=directive.name,
                )
                continue
            condition = directive.arguments.get("if")
            if isinstance(condition, Variable):
                where = Field(directive.name, None, {}, (), None, selection.location)
                self._variable(condition, BOOLEAN, "if", where, path, has_default=False)
            elif not isinstance(condition, bool) or len(directive.arguments) != 1:
                self._say(
                    f"Directive '{directive.name}' is missing required arguments: if",
                    path,
                    selection.location,
                    "missingRequiredArguments",
                    className="Directive",
                    name=directive.name,
                    arguments="if",
                )
