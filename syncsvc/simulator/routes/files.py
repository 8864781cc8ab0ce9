"""The few files that a mirror asks about: a README, tests, the workflows of continuous integration."""

from base64 import b64encode
from typing import Any

from syncsvc.simulator.commit_payloads import tree_sha
from syncsvc.simulator.content_files import File, entries, file_at, files_of
from syncsvc.simulator.content_payloads import Place
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.records import Repository
from syncsvc.simulator.routes.within import below, place_of
from syncsvc.simulator.routing import Context, Routes

routes = Routes()


@below(routes, "/git/trees/{sha:rest}", "contents")
def tree(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/git/trees/{tree_sha}`, of a commit, a branch or a tree."""
    content = context.world.content(repository)
    if not content.branches:
        raise Refusal(409, "Git Repository is empty.")
    name = context.path["sha"]
    head = content.commit(name)
    root = head.sha if head is not None else context.world.contents.head_sha(repository)
    if head is None and name != tree_sha(root):
        raise not_found()
    files, place = files_of(repository), place_of(context, repository)
    found = files if "recursive" in context.request.query else entries(files, "")
    return json_answer(
        {
            "sha": tree_sha(root),
            "url": f"{place.url}/git/trees/{tree_sha(root)}",
            "truncated": False,
            "tree": [_in_tree(file, place) for file in found],
        }
    )


@below(routes, "/contents/{path:rest}", "contents")
def contents(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/contents/{path}`: a file, or what a folder holds."""
    if not context.world.content(repository).branches:
        raise Refusal(404, "This repository is empty.")
    files, path = files_of(repository), context.path["path"].strip("/")
    found, place = file_at(files, path), place_of(context, repository)
    if found is None:
        raise not_found()
    if found.kind == "tree":
        return json_answer([_shown(f, place, repository) for f in entries(files, path)])
    text = {"content": b64encode(b"#\n").decode() + "\n", "encoding": "base64"}
    return json_answer(_shown(found, place, repository) | text)


def _in_tree(file: File, place: Place) -> dict[str, Any]:
    kind = "trees" if file.kind == "tree" else "blobs"
    shown: dict[str, Any] = {
        "path": file.path,
        "mode": "040000" if file.kind == "tree" else "100644",
        "type": file.kind,
        "sha": file.sha,
        "url": f"{place.url}/git/{kind}/{file.sha}",
    }
    return shown if file.kind == "tree" else shown | {"size": 2}


def _shown(file: File, place: Place, repository: Repository) -> dict[str, Any]:
    branch = repository.default_branch
    url = f"{place.url}/contents/{file.path}?ref={branch}"
    folder = file.kind == "tree"
    git_url = f"{place.url}/git/{'trees' if folder else 'blobs'}/{file.sha}"
    html_url = f"{place.html_url}/{'tree' if folder else 'blob'}/{branch}/{file.path}"
    raw = f"https://raw.githubusercontent.com/{place.full_name}/{branch}/{file.path}"
    return {
        "name": file.name,
        "path": file.path,
        "sha": file.sha,
        "size": 0 if folder else 2,
        "type": "dir" if folder else "file",
        "url": url,
        "git_url": git_url,
        "html_url": html_url,
        "download_url": None if folder else raw,
        "_links": {"self": url, "git": git_url, "html": html_url},
    }
