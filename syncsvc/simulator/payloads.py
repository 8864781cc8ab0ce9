"""How GitHub shows its things as JSON: accounts, repositories, the App, installations.

Hides the long lists of URLs. Shapes follow GitHub's OpenAPI description and its example
webhook payloads; every function is pure and takes the API's own URL where links need it.
"""

from functools import lru_cache
from typing import Any

import orjson

from syncsvc.simulator.records import (
    Account,
    Repository,
    node_id,
    rfc3339,
)
from syncsvc.simulator.vocabulary import LICENSES

HTML_URL = "https://github.com"
PLACEHOLDER = b"<name>"

REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def simple_user(account: Account, api: str) -> dict[str, Any]:
    """An account as it is embedded everywhere (`simple-user`)."""
    url = f"{api}/users/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": account.node_id,
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{HTML_URL}/{account.login}",
        "followers_url": f"{url}/followers",
        "following_url": f"{url}/following{{/other_user}}",
        "gists_url": f"{url}/gists{{/gist_id}}",
        "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{url}/subscriptions",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events{{/privacy}}",
        "received_events_url": f"{url}/received_events",
        "type": account.type,
        "site_admin": False,
    }


def simple_organization(account: Account, api: str) -> dict[str, Any]:
    """An organization as webhooks carry it."""
    url = f"{api}/orgs/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": account.node_id,
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "description": account.description or "",
    }


def user(account: Account, api: str, public_repositories: int) -> dict[str, Any]:
    """`GET /users/{username}` (`public-user`)."""
    return simple_user(account, api) | {
        "user_view_type": "public",
        "name": account.name,
        "company": None,
        "blog": "",
        "location": account.location,
        "email": None,
        "hireable": None,
        "bio": account.description,
        "twitter_username": None,
        "public_repos": public_repositories,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
    }


def private_user(account: Account, api: str, public: int, private: int) -> dict[str, Any]:
    """`GET /user` (`private-user`): one's own account."""
    return user(account, api, public) | {
        "user_view_type": "private",
        "private_gists": 0,
        "total_private_repos": private,
        "owned_private_repos": private,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": True,
        "plan": {"name": "pro", "space": 976562499, "collaborators": 0, "private_repos": 9999},
    }


def organization(account: Account, api: str, public_repositories: int) -> dict[str, Any]:
    """`GET /orgs/{org}` (`organization-full`)."""
    return simple_organization(account, api) | {
        "name": account.name,
        "location": account.location or "",
        "is_verified": False,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": public_repositories,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": f"{HTML_URL}/{account.login}",
        "type": "Organization",
        "created_at": rfc3339(account.created_at),
        "updated_at": rfc3339(account.updated_at),
        "archived_at": None,
    }


def license_of(spdx_id: str | None, api: str) -> dict[str, Any] | None:
    """A licence by SPDX id (`license-simple`); None stays None."""
    if spdx_id is None:
        return None
    key, name = LICENSES.get(spdx_id, (spdx_id.lower(), spdx_id))
    named = spdx_id != "NOASSERTION"
    return {
        "key": key,
        "name": name,
        "spdx_id": spdx_id,
        "url": f"{api}/licenses/{key}" if named else None,
        "node_id": node_id("L", sum(key.encode())),
    }


def repository_fields(repository: Repository, api: str) -> dict[str, Any]:
    """Everything of a repository that is neither its owner nor a link."""
    return {
        "id": repository.id,
        "node_id": repository.node_id,
        "name": repository.name,
        "private": repository.visibility != "public",
        "description": repository.description,
        "fork": repository.fork,
        "created_at": rfc3339(repository.created_at),
        "updated_at": rfc3339(repository.updated_at),
        "pushed_at": rfc3339(repository.pushed_at),
        "homepage": repository.homepage,
        "size": repository.size,
        "stargazers_count": repository.stars,
        "watchers_count": repository.stars,
        "language": repository.language,
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": repository.forks,
        "mirror_url": None,
        "archived": repository.archived,
        "disabled": repository.disabled,
        "open_issues_count": repository.open_issues,
        "license": license_of(repository.license, api),
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": list(repository.topics),
        "visibility": repository.visibility,
        "forks": repository.forks,
        "open_issues": repository.open_issues,
        "watchers": repository.stars,
        "default_branch": repository.default_branch,
        "custom_properties": {},
    }


def repository_links(owner_login: str, name: str, api: str) -> dict[str, Any]:
    """The name and the forty-odd links of a repository."""
    full_name = f"{owner_login}/{name}"
    url = f"{api}/repos/{full_name}"
    return {
        "full_name": full_name,
        "html_url": f"{HTML_URL}/{full_name}",
        "url": url,
        **{key: url + tail for key, tail in REPOSITORY_LINKS.items()},
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "clone_url": f"{HTML_URL}/{full_name}.git",
        "svn_url": f"{HTML_URL}/{full_name}",
    }


def repository(repository: Repository, owner: Account, api: str) -> dict[str, Any]:
    """A repository as webhooks carry it (`repository`)."""
    return {
        **repository_fields(repository, api),
        "owner": simple_user(owner, api),
        **repository_links(owner.login, repository.name, api),
    }


def full_repository(repository_: Repository, owner: Account, api: str) -> dict[str, Any]:
    """What `GET /repos/{owner}/{repo}` adds to a listed repository (`full-repository`)."""
    extra: dict[str, Any] = {
        "network_count": repository_.forks,
        "subscribers_count": repository_.stars,
        "temp_clone_token": None,
        "allow_squash_merge": True,
        "allow_merge_commit": True,
        "allow_rebase_merge": True,
        "allow_auto_merge": False,
        "delete_branch_on_merge": False,
        "allow_update_branch": False,
    }
    if owner.type == "Organization":
        extra["organization"] = simple_user(owner, api)
    return extra


def listed_repository(
    repository: Repository, owner: Account, api: str, extra: dict[str, Any]
) -> bytes:
    """A repository as JSON bytes, the links and the owner from a template of its owner.

    Building sixty strings for each of 100,000 repositories would take most of a listing's
    time; the template needs one replacement instead.
    """
    fields = orjson.dumps(repository_fields(repository, api) | extra)
    template = _owner_template(owner.id, owner.login, owner.type, api)
    return fields[:-1] + b"," + template.replace(PLACEHOLDER, repository.name.encode())


@lru_cache(maxsize=256)
def _owner_template(number: int, login: str, kind: Any, api: str) -> bytes:
    owner = Account(number, login, kind, "", None, None, 0, 0)
    links = {"owner": simple_user(owner, api), **repository_links(login, PLACEHOLDER.decode(), api)}
    return orjson.dumps(links)[1:]
