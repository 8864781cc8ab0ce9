"""What became of deliveries, and what gaps are, in sentences for people. Pure.

The words (`outcome`, `reason`, `kind`, `healed_by`) are the database's; an unknown one is shown as it is.
"""

from typing import Final

OUTCOMES: Final = {
    "updated": "The mirror was changed by what it told.",
    "unchanged": "The mirror knew already what it told.",
    "stale": "The mirror knew something newer: it was left as it is.",
    "recheck": "Only GitHub can say what is true now: the repository is read again.",
    "removed": "What it was about is gone from GitHub, and marked so in the mirror.",
    "installation": "The account's own record was brought up to date.",
    "unknown_event": "An event of this kind is not used by the mirror.",
    "unknown_action": "This action of the event is not used by the mirror.",
    "unknown_installation": "It belongs to an installation that is not mirrored.",
    "other_account": "It belongs to an account that is not mirrored.",
    "suspended": "The installation is suspended: its deliveries change nothing.",
    "unmanaged": "The repository is known, but not managed by the mirror.",
    "not_permitted": "The installation may not read this any more, so nothing was changed.",
    "malformed": "Its payload cannot be read.",
    "refused": "The database cannot hold what it told.",
    "interrupted": "The worker died each time while it processed this delivery.",
    "ping": "GitHub's test of the webhook. Nothing to do.",
}
WAITING: Final = "It waits for a worker."
RETRYING: Final = "An attempt failed. It is tried again by itself."
STRANGE: Final = "No mirrored account is known for it yet. It is looked for again by itself."
REASONS: Final = {
    "silence": "Nothing arrived for longer than this account is ever quiet at such an hour.",
    "failed_deliveries": "GitHub's log names deliveries that it could not deliver.",
    "redelivery_exhausted": "GitHub was asked again and again to redeliver, in vain.",
    "missing_deliveries": "GitHub's log names deliveries that never arrived here.",
}
#: What ended a gap, or brought a missed delivery after all.
HEALED_BY: Final = {
    "arrived": "It arrived late, by itself",
    "redelivery": "GitHub redelivered it",
    "reread": "The repository was read again",
    "sync": "A sync read everything",
    "discovery": "The installations were listed again",
    "quiet": "Nothing had changed: GitHub itself was quiet",
    "uninstalled": "The App was uninstalled: nothing can be missed any more",
}


def outcome(word: str, detail: str, *, waiting: bool = False, attempts: int = 0) -> str:
    """What became of a delivery: its own sentence if it has one, else that of the word."""
    if waiting:
        again = STRANGE if word == "unknown_installation" else RETRYING
        return detail or (again if attempts else WAITING)
    return detail or OUTCOMES.get(word, spelled(word))


def reason(word: str) -> str:
    """What the reason of a gap means."""
    return REASONS.get(word, spelled(word))


def healed_by(word: str) -> str:
    """What healed it."""
    return HEALED_BY.get(word, spelled(word))


def spelled(word: str) -> str:
    """A word of the database's as people write it: `caught_up` becomes `Caught up`."""
    return word.replace("_", " ").capitalize()


def event(name: str, action: str) -> str:
    """An event and its action: `issues · opened`."""
    return f"{name} · {action}" if action else name
