"""What happens once after the processes are up: find the accounts, start their first sync."""

import structlog
from django.conf import settings

from syncsvc import connect, discovery, scheduling
from syncsvc.github.errors import GitHubError

log = structlog.get_logger(__name__)


def after_start() -> str | None:
    """Discovers and asks for what is due, so that nobody waits for the first tick of the schedule.

    Returns a sentence for people when that was not possible; the system runs all the same, and
    tries again on its own.
    """
    if not (connect.has_app() or connect.has_token()):
        return (
            f"No GitHub credentials are set: set them up at {settings.BASE_URL}/setup/, or set "
            "GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY, or GITHUB_TOKEN and GITHUB_OWNER, and start again."
        )
    try:
        discovery.discover()
    except GitHubError as error:
        return error.sentence
    scheduling.request_due()
    return None
