"""`make contract-data`: GitHub's own descriptions of its interfaces, as the tests read them.

They come from Octokit's packages on npm, through the `npm` client. Only what a mirror needs is
kept, without prose: the routes below with all they refer to, the GraphQL schema, the examples of
webhooks, and a few recorded exchanges.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WEBHOOKS, GRAPHQL, OPENAPI, RECORDED = (
    "@octokit/webhooks-examples@7.6.1",
    "@octokit/graphql-schema@15.26.1",
    "@octokit/openapi@23.0.2",
    "@octokit/fixtures@23.1.2",
)
EVENTS = [
    "check_run",
    "create",
    "delete",
    "installation",
    "installation_repositories",
    "issue_comment",
    "issues",
    "label",
    "member",
    "meta",
    "organization",
    "ping",
    "public",
    "pull_request",
    "push",
    "repository",
    "star",
    "workflow_run",
]
SCENARIOS = ["errors", "get-organization", "get-repository", "paginate-issues", "rename-repository"]
ROUTES = [
    "/app",
    "/app/hook/config",
    "/app/hook/deliveries",
    "/app/hook/deliveries/{delivery_id}",
    "/app/hook/deliveries/{delivery_id}/attempts",
    "/app/installations",
    "/app/installations/{installation_id}",
    "/app/installations/{installation_id}/access_tokens",
    "/app-manifests/{code}/conversions",
    "/installation/repositories",
    "/installation/token",
    "/orgs/{org}",
    "/orgs/{org}/repos",
    "/orgs/{org}/installation",
    "/orgs/{org}/hooks",
    "/orgs/{org}/hooks/{hook_id}/deliveries",
    "/orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}",
    "/orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
    "/users/{username}",
    "/users/{username}/repos",
    "/users/{username}/installation",
    "/user",
    "/user/repos",
    "/rate_limit",
    "/meta",
    "/repos/{owner}/{repo}",
    "/repos/{owner}/{repo}/issues",
    "/repos/{owner}/{repo}/issues/{issue_number}",
    "/repos/{owner}/{repo}/pulls",
    "/repos/{owner}/{repo}/pulls/{pull_number}",
    "/repos/{owner}/{repo}/commits",
    "/repos/{owner}/{repo}/commits/{ref}",
    "/repos/{owner}/{repo}/contributors",
    "/repos/{owner}/{repo}/languages",
    "/repos/{owner}/{repo}/topics",
    "/repos/{owner}/{repo}/branches/{branch}",
    "/repos/{owner}/{repo}/contents/{path}",
    "/repos/{owner}/{repo}/git/trees/{tree_sha}",
    "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
    "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
    "/repos/{owner}/{repo}/compare/{basehead}",
    "/repos/{owner}/{repo}/stats/contributors",
    "/search/issues",
]
METHODS = ("get", "post")
PROSE = ("description", "summary", "tags", "externalDocs", "example", "examples", "x-github")


def main() -> None:
    """Fetches, cuts, and puts everything in place at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / ".contract-data")
    target: Path = parser.parse_args().into
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".contract-data-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        _webhooks(_fetch(WEBHOOKS, Path(scratch)), made / "webhooks")
        _graphql(_fetch(GRAPHQL, Path(scratch)), made / "schema.graphql")
        _openapi(_fetch(OPENAPI, Path(scratch)), made / "openapi.json")
        _recorded(_fetch(RECORDED, Path(scratch)), made / "recorded")
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    sys.stdout.write(f"GitHub's descriptions are in {target}\n")


def _fetch(package: str, scratch: Path) -> Path:
    """The unpacked package."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed to fetch GitHub's descriptions: install Node.js, then try again.")
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), package]
    if subprocess.run(command, stdout=subprocess.DEVNULL, cwd=scratch, check=False).returncode:
        sys.exit(f"npm could not fetch {package}: is the network up?")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _webhooks(package: Path, folder: Path) -> None:
    examples = {
        entry["name"]: entry["examples"]
        for entry in json.loads((package / "api.github.com" / "index.json").read_text())
    }
    for event in EVENTS:
        (folder / event).mkdir(parents=True)
        for number, payload in enumerate(examples[event]):
            name = f"{payload.get('action', 'event')}.{number}.json"
            (folder / event / name).write_text(json.dumps(payload, indent=1))


def _graphql(package: Path, file: Path) -> None:
    text = (package / "schema.graphql").read_text()
    text = re.sub(r'"""(?:[^"]|"(?!""))*"""', "", text)
    text = re.sub(r"[ \t]+\n", "\n", text)
    file.write_text(re.sub(r"\n\n+(?=[ })])", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip() + "\n")


def _openapi(package: Path, file: Path) -> None:
    whole = json.loads((package / "generated" / "api.github.com.json").read_text())
    paths = {
        route: {
            method: _without_prose(whole["paths"][route][method])
            for method in METHODS
            if method in whole["paths"][route]
        }
        for route in ROUTES
    }
    components: dict[str, dict[str, Any]] = {}
    waiting = list(_references(paths))
    while waiting:
        kind, name = waiting.pop()
        if name not in components.setdefault(kind, {}):
            found = {name: whole["components"][kind][name]}
            components[kind] |= _without_prose(found, kind)
            waiting.extend(_references(components[kind][name]))
    info = {
        "title": "GitHub REST API, the part a mirror needs",
        "version": whole["info"]["version"],
        "license": {"name": "MIT"},
    }
    cut = {"openapi": whole["openapi"], "info": info, "paths": paths, "components": components}
    file.write_text(json.dumps(cut, indent=0))


def _without_prose(node: Any, above: str = "") -> Any:
    """Drops prose. Below `properties` the keys are names, and `description` is one like any."""
    if isinstance(node, list):
        return [_without_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _without_prose(value, key)
        for key, value in node.items()
        if above == "properties" or key not in PROSE
    }
    if above == "responses":
        for name, response in kept.items():
            if "description" in node[name]:
                response["description"] = ""  # a response must have one
    return kept


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                _, _, kind, name = value.split("/")
                yield kind, name
            else:
                yield from _references(value)


def _recorded(package: Path, folder: Path) -> None:
    folder.mkdir()
    for scenario in SCENARIOS:
        source = package / "scenarios" / "api.github.com" / scenario / "normalized-fixture.json"
        shutil.copyfile(source, folder / f"{scenario}.json")


if __name__ == "__main__":
    main()
