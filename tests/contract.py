"""GitHub's OpenAPI description and GraphQL schema as judges of requests and answers.

Hides where the description lies, what OpenAPI 3.0 writes differently from JSON Schema, and
which paths the live API has without describing them. Tests that need the description are
skipped, with the reason, on a machine that does not have it.
"""

import json
import os
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from graphql import GraphQLError, GraphQLSchema, build_schema, parse, validate
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parent.parent
URI = "urn:github:openapi"
METHODS = ("get", "put", "post", "delete", "patch")

UNDESCRIBED = (
    (re.compile(r"^/repositories/\d+(?=/|$)"), "/repos/owner/repo"),
    (re.compile(r"^/organizations/\d+(?=/)"), "/orgs/org"),
    (re.compile(r"^/user/\d+(?=/)"), "/users/username"),
)
"""The live API answers by id too, and its Link headers lead there; it is the same operation."""


class ContractError(AssertionError):
    """A request or an answer that GitHub's description does not allow."""


def contract_dir() -> Path:
    """The folder with GitHub's own interface data; skips the test where there is none.

    `GITHUB_CONTRACT_DIR`, else `../shared/github` beside the repository, else
    `.contract-data/` in it (`make contract-data` fetches it).
    """
    named = os.environ.get("GITHUB_CONTRACT_DIR")
    places = [Path(named)] if named else [ROOT.parent / "shared/github", ROOT / ".contract-data"]
    for place in places:
        if (place / "openapi.json").is_file():
            return place
    pytest.skip("GitHub's interface data is not here: run `make contract-data`.")


@cache
def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def openapi() -> dict[str, Any]:
    """GitHub's OpenAPI description as it is."""
    return _read(contract_dir() / "openapi.json")


def operation(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The described path and the operation for a request's path; ContractError without one."""
    described = path
    for pattern, replacement in UNDESCRIBED:
        described = pattern.sub(replacement, described)
    for pattern, template in _templates(contract_dir() / "openapi.json"):
        found = openapi()["paths"][template].get(method.lower())
        if found is not None and pattern.fullmatch(described):
            return template, found
    raise ContractError(f"GitHub's description has no operation {method.upper()} {path}.")


def validate_request(method: str, url: str, body: Any = None) -> None:
    """Raise ContractError unless the description allows this request.

    Path, query (known names, right types, required ones present) and JSON body are judged;
    `url` may be whole or only path and query.
    """
    parts = urlsplit(url)
    template, found = operation(method, parts.path)
    where = f"{method.upper()} {url}"
    known = {
        p["name"]: p for p in map(_resolved, found.get("parameters", ())) if p["in"] == "query"
    }
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, text in given.items():
        if name not in known:
            raise ContractError(f"{where}: there is no query parameter {name!r}.")
        _judge(_typed(text, known[name]["schema"]), known[name]["schema"], f"{where}: {name}")
    missing = [n for n, p in known.items() if p.get("required") and n not in given]
    if missing:
        raise ContractError(f"{where}: {', '.join(missing)} must be given.")
    described = found.get("requestBody")
    if described is None:
        if body not in (None, "", b"", {}):
            raise ContractError(f"{where}: takes no body.")
        return
    if body in (None, "", b""):
        if described.get("required"):
            raise ContractError(f"{where}: needs a body.")
        return
    pointer = _pointer("paths", template, method.lower(), "requestBody", "content")
    _judge_at(_parsed(body), pointer + "/application~1json/schema", where)


def validate_response(method: str, path: str, status: int, body: Any) -> None:
    """Raise ContractError unless the description allows this answer.

    `body` may be bytes, text or parsed JSON. An error status that the operation does not list
    (limits, retired versions) is judged as `basic-error`.
    """
    where = f"{status} to {method.upper()} {path}"
    if status in {204, 304}:
        if body not in (None, "", b""):
            raise ContractError(f"{where}: has a body.")
        return
    parts = urlsplit(path)
    template, found = operation(method, parts.path)
    if status >= 400 and str(status) not in found["responses"]:
        _judge_at(_parsed(body), "/components/schemas/basic-error", where)
        return
    if str(status) not in found["responses"]:
        raise ContractError(f"{where}: only {', '.join(found['responses'])} are described.")
    answer = found["responses"][str(status)]
    pointer = _pointer("paths", template, method.lower(), "responses", str(status))
    if "$ref" in answer:
        pointer = answer["$ref"].removeprefix("#")
        answer = _resolved(answer)
    if "application/json" in answer.get("content", {}):
        _judge_at(_parsed(body), pointer + "/content/application~1json/schema", where)


def validate_schema(name: str, value: Any) -> None:
    """Raise ContractError unless the value fits the description's schema of that name."""
    _judge_at(value, f"/components/schemas/{name}", name)


@cache
def graphql_schema() -> GraphQLSchema:
    """GitHub's GraphQL schema as it is: two of its fields are defined twice, alike."""
    text = (contract_dir() / "schema.graphql").read_text()
    return build_schema(text, assume_valid=True, assume_valid_sdl=True)


def validate_query(text: str) -> None:
    """Raise ContractError unless GitHub's schema allows this query."""
    try:
        problems = validate(graphql_schema(), parse(text))
    except GraphQLError as error:
        problems = [error]
    if problems:
        raise ContractError("; ".join(problem.message for problem in problems[:5]))


@cache
def _templates(path: Path) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of the described paths, those with fewest placeholders first."""
    templates = sorted(_read(path)["paths"], key=lambda t: (t.count("{"), t))
    return [
        (_pattern(template, _read(path)["paths"][template]), template) for template in templates
    ]


def _pattern(template: str, operations: dict[str, Any]) -> re.Pattern[str]:
    """A described path as a pattern: numbers are numbers, and some placeholders span parts."""
    parameters = {
        p["name"]: p
        for o in operations.values()
        for p in map(_resolved, o.get("parameters", ()))
        if p["in"] == "path"
    }

    def placeholder(match: re.Match[str]) -> str:
        parameter = parameters.get(match[1], {})
        if parameter.get("schema", {}).get("type") == "integer":
            return r"\d+"
        return ".+" if parameter.get("x-multi-segment") else "[^/]+"

    parts = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(re.sub(r"\{(\w+)\}", placeholder, p) if "{" in p else re.escape(p) for p in parts)
    )


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        target: Any = openapi()
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


def _typed(text: str, schema: dict[str, Any]) -> Any:
    """A query parameter's text as the value it stands for, when it can be read as such."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if schema.get("type") == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def _parsed(body: Any) -> Any:
    return json.loads(body) if isinstance(body, bytes | str) else body


def _pointer(*parts: str) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _judge_at(value: Any, pointer: str, where: str) -> None:
    _judge(value, {"$ref": f"{URI}#{quote(pointer, safe='/~')}"}, where)


def _judge(value: Any, schema: dict[str, Any], where: str) -> None:
    registry = _registry(contract_dir() / "openapi.json")
    judge = Draft202012Validator(schema, registry=registry, format_checker=FORMATS)
    problems = sorted(judge.iter_errors(value), key=lambda e: list(map(str, e.absolute_path)))
    if problems:
        told = [_told(best_match([problem]) or problem) for problem in problems]
        raise ContractError(f"{where}: " + "; ".join(told[:5]))


def _told(problem: ValidationError) -> str:
    return f"{'/'.join(map(str, problem.absolute_path)) or 'body'}: {problem.message[:300]}"


@cache
def _registry(path: Path) -> Registry[Any]:
    resource = Resource.from_contents(
        _as_json_schema(_read(path)), default_specification=DRAFT202012
    )
    registry: Registry[Any] = Registry()
    return cast("Registry[Any]", registry.with_resource(URI, resource))


def _as_json_schema(node: Any) -> Any:
    """The description with `nullable` and its like said in the words of JSON Schema."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _as_json_schema(value) for key, value in node.items()}
    titles = [s.get("title") for s in schema.get("allOf", ()) if isinstance(s, dict)]
    if titles == ["Simple User", "Enterprise"]:
        # A slip in the description: nothing is both; the schema `installation` has anyOf.
        schema["anyOf"] = schema.pop("allOf")
    _allow_forgotten_nulls(schema.get("properties"))
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _allow_forgotten_nulls(properties: Any) -> None:
    """Other slips: what may be null is said in one place of the description, not in all."""
    for marks, names in FORGOTTEN_NULLS:
        if isinstance(properties, dict) and marks <= properties.keys():
            for name in names:
                properties[name] = {"anyOf": [properties[name], {"type": "null"}]}


FORGOTTEN_NULLS = (
    # The fork or the user that a pull request came from may have been deleted.
    ({"label", "ref", "repo", "sha", "user"}, ("repo", "user")),
    # A label without a description, in a listing of pull requests.
    ({"color", "default", "description", "name"}, ("description",)),
)

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """RFC 3339 with a zone, as GitHub's date-times have."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(re.match(r"^[a-z][a-z0-9+.-]*:[^\s]+$", value))


@FORMATS.checks("email")
def _is_email(value: object) -> bool:
    return not isinstance(value, str) or bool(re.match(r"^[^@\s]+@[^@\s]+$", value))


@FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63
