"""What a reader may do: the checks that several areas share.

Hides the difference between Apps, installations, users and strangers.
"""

from syncsvc.simulator.auth import Principal
from syncsvc.simulator.messages import Refusal, not_found
from syncsvc.simulator.records import Account, Installation, Repository
from syncsvc.simulator.routing import Context


def require_app(context: Context) -> None:
    """Only an App's JSON web token may pass."""
    if context.principal.kind != "app":
        raise Refusal(401, "A JSON web token could not be decoded")


def require_installation(context: Context) -> Installation:
    """The installation whose token asks."""
    if context.principal.kind != "installation":
        raise Refusal(
            403,
            "You must authenticate with an installation access token in order to list "
            "repositories for an installation.",
        )
    return context.world.installations[context.principal.id]


def require_user(context: Context) -> Account:
    """The user whose token asks."""
    if context.principal.kind == "user":
        return context.world.accounts[context.principal.id]
    if context.principal.kind == "installation":
        raise Refusal(403, "Resource not accessible by integration")
    raise Refusal(401, "Requires authentication")


def viewer(context: Context) -> Account | None:
    """The user who looks, or None for everybody who sees public things only."""
    if context.principal.kind != "user":
        return None
    return context.world.accounts[context.principal.id]


def may_read(context: Context, repository: Repository) -> bool:
    """Whether the reader sees this repository at all."""
    if repository.visibility == "public":
        return True
    if context.principal.kind == "installation":
        return granted(context, context.principal, repository)
    return context.world.may_see(viewer(context), repository)


def granted(context: Context, principal: Principal, repository: Repository) -> bool:
    """Whether an installation's token covers a repository."""
    installation = context.world.installations.get(principal.id)
    if installation is None or not context.world.covers(installation, repository):
        return False
    return principal.repository_ids is None or repository.id in principal.repository_ids


def reader_of(context: Context, owner: Account) -> str:
    """The kind of reader (see `fragments.PERMISSIONS`) with regard to an owner's repositories."""
    user = viewer(context)
    if user is not None:
        return "admin" if user.id == owner.id or user.id in owner.member_ids else "read"
    return "installation" if context.principal.kind == "installation" else "public"


def account_named(context: Context, login: str) -> Account:
    """The account of that login; Refusal 404 when there is none."""
    found = context.world.find_account(login)
    if found is None:
        raise not_found()
    return found
