"""Single repositories, and the redirects from their old names."""

from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.records import Repository, rfc3339
from syncsvc.simulator.routes.access import may_read, reader_of
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

GET_DOCS = "https://docs.github.com/rest/repos/repos#get-a-repository"
REDIRECT_DOCS = "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api"


@routes.add("GET", "/repos/{owner}/{repo}")
def by_name(context: Context) -> Answer:
    """`GET /repos/{owner}/{repo}`: 301 from an old name, 404 for what one may not see."""
    found = context.world.find_repository(context.path["owner"], context.path["repo"])
    return moved(context) if found is None else shown(context, found)


@routes.add("GET", "/repositories/{id:int}")
def by_id(context: Context) -> Answer:
    """`GET /repositories/{id}`: where redirects lead to."""
    found = context.world.repositories.get(int(context.path["id"]))
    if found is None:
        raise not_found(GET_DOCS)
    return shown(context, found)


@routes.add("*", "/repos/{owner}/{repo}")
@routes.add("*", "/repos/{owner}/{repo}/{rest:rest}")
def elsewhere(context: Context) -> Answer:
    """Whatever else is asked of an old name redirects too; 404 for what is not simulated."""
    return moved(context)


def shown(context: Context, repository: Repository) -> Answer:
    """A repository as `full-repository`; 451 or 403 when it is blocked."""
    if not may_read(context, repository):
        raise not_found(GET_DOCS)
    refuse_blocked(repository)
    reader = reader_of(context, context.world.accounts[repository.owner_id])
    body = context.fragments.full(repository, reader)
    return Answer(body=body, modified_at=repository.updated_at)


def refuse_blocked(repository: Repository) -> None:
    """Refusal 451 for a repository that the law blocks, 403 for one that GitHub does."""
    if repository.blocked is None:
        return
    block = {
        "reason": repository.blocked,
        "created_at": rfc3339(repository.blocked_at),
        "html_url": f"https://github.com/{repository.blocked}",
    }
    status = 451 if repository.blocked == "dmca" else 403
    raise Refusal(status, "Repository access blocked", block=block)


def moved(context: Context) -> Answer:
    """The redirect from an old name: 301, for other methods than GET 307, else 404."""
    found = context.world.redirect(context.path["owner"], context.path["repo"])
    if found is None or not may_read(context, found):
        raise not_found(GET_DOCS)
    rest = context.request.path.split("/", 4)[4:]
    location = f"{context.api_url}/repositories/{found.id}" + (f"/{rest[0]}" if rest else "")
    if context.request.query_string:
        location += f"?{context.request.query_string}"
    permanent = context.request.method in {"GET", "HEAD"}
    return json_answer(
        {
            "message": "Moved Permanently" if permanent else "Temporary Redirect",
            "url": location,
            "documentation_url": REDIRECT_DOCS,
        },
        status=301 if permanent else 307,
        headers={"location": location},
        cacheable=False,
    )
