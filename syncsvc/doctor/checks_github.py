"""From what GitHub said to findings; pure."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from syncsvc import words
from syncsvc.doctor.checks import BAD, GITHUB, OK, UNKNOWN, WARNING, WEBHOOKS
from syncsvc.doctor.facts import Asked, Finding, Local
from syncsvc.setup import manifest

CLOCK_SECONDS: Final = (30, 120)
"""Off by so much it is told; by so much GitHub refuses the App's signatures."""


def judge(local: Local, asked: Asked) -> list[Finding]:
    """Everything that only GitHub knows."""
    found = [*_accepted(local, asked), *_clock(asked)]
    if any(way.kind == "app" for way in local.ways):
        found += [*_app(asked), *_hook(local, asked), *_log(asked)]
    return found


def _accepted(local: Local, asked: Asked) -> Iterator[Finding]:
    for way in local.ways:
        error = asked.errors.get(way.kind, "")
        who = asked.app_name if way.kind == "app" else asked.token_owner
        title = "GitHub takes the App" if way.kind == "app" else "GitHub takes the token"
        yield Finding(
            key=f"accepted_{way.kind}",
            group=GITHUB,
            title=title,
            state=BAD if error else OK,
            says=error or f"Yes: it is {who or 'known'}.",
            fix="Replace it on the page Set-up, or correct what the sentence names."
            if error
            else "",
            at=asked.at,
        )


def _app(asked: Asked) -> Iterator[Finding]:
    if asked.permissions is None:
        return
    lacks = [name for name in manifest.PERMISSIONS if name not in asked.permissions]
    writes = sorted(name for name, level in asked.permissions.items() if level != "read")
    yield Finding(
        key="app_permissions", group=GITHUB, title="What the App asks for", at=asked.at,
        state=WARNING if lacks else OK,
        says=f"It does not ask to read {', '.join(lacks)}." if lacks
        else f"More than it needs: it may write {', '.join(writes)}." if writes
        else "Exactly to read what is mirrored.",
        fix="At GitHub, under Permissions & events, give it read access to these." if lacks
        else "Nothing has to be done; less would do." if writes else "",
    )  # fmt: skip


def _clock(asked: Asked) -> Iterator[Finding]:
    if asked.their_time is None:
        said = next((e for e in asked.errors.values() if "clock" in e and "this machine" in e), "")
        yield Finding(
            key="clock", group=GITHUB, title="Clock", at=asked.at, state=UNKNOWN,
            says="GitHub did not tell its time." + (" It may be the clock." if said else ""),
            fix="See that this machine keeps time (NTP)." if said else "",
        )  # fmt: skip
        return
    off = (asked.at - asked.their_time).total_seconds()
    told, refused = CLOCK_SECONDS
    size = abs(off)
    way = "ahead of" if off > 0 else "behind"
    yield Finding(
        key="clock", group=GITHUB, title="Clock", at=asked.at,
        state=BAD if size > refused else WARNING if size > told else OK,
        says="It agrees with GitHub's." if size <= told else f"It is {round(size)} seconds {way} GitHub's.",
        fix="Set the clock of this machine (NTP): GitHub refuses the signatures of a clock that is minutes off."
        if size > told else "",
    )  # fmt: skip


def _hook(local: Local, asked: Asked) -> Iterator[Finding]:
    ours = local.base_url + manifest.DOOR
    found: dict[str, Any] = {
        "key": "hook",
        "group": WEBHOOKS,
        "title": "The App's webhook",
        "at": asked.at,
    }
    where = "At GitHub, on the App's page under Webhook"
    if "hook" in asked.errors:
        yield Finding(**found, state=UNKNOWN, says=asked.errors["hook"])
    elif asked.hook_url is None:
        return
    elif not asked.hook_url:
        yield Finding(**found, state=WARNING, says="It has none: changes are seen by the schedule only.",
                      fix=f"{where}, switch it on with the URL {ours} and a secret.")  # fmt: skip
    elif not _same(asked.hook_url, ours):
        yield Finding(**found, state=BAD, says=f"It leads to {asked.hook_url}, not to {ours}.",
                      fix=f"{where}, set the URL to {ours}; or set BASE_URL, if a proxy leads here.")  # fmt: skip
    elif not asked.hook_has_secret:
        yield Finding(**found, state=BAD, says="It has no secret, so every delivery is refused.",
                      fix=f"{where}, set the secret that is stored here.")  # fmt: skip
    else:
        said = (
            "It leads here, and has a secret. Whether it is switched on, GitHub does not say: what it "
            "sent lately shows that."
        )
        yield Finding(**found, state=OK, says=said)


def _log(asked: Asked) -> Iterator[Finding]:
    found: dict[str, Any] = {
        "key": "hook_log",
        "group": WEBHOOKS,
        "title": "What GitHub sent lately",
        "at": asked.at,
    }
    if "log" in asked.errors:
        yield Finding(**found, state=UNKNOWN, says=asked.errors["log"])
    elif asked.log is None:
        return
    elif not asked.log:
        yield Finding(**found, state=UNKNOWN, says="Nothing in the last three days.",
                      fix="Push something to a mirrored repository, and ask again.")  # fmt: skip
    else:
        failed = [each for each in asked.log if not 200 <= each.code < 300]
        newest = asked.log[0]
        said = (
            f"{len(asked.log) - len(failed)} of the last {len(asked.log)} were taken; the newest was sent "
            f"{words.exact(newest.at)}."
        )
        if not failed:
            yield Finding(**found, state=OK, says=said)
        else:
            works = 200 <= newest.code < 300
            yield Finding(**found, state=WARNING if works else BAD,
                          says=f"{said} The newest got {_code(newest.code)}.",
                          fix="Nothing: what failed is redelivered or read by itself." if works
                          else _remedy(newest.code))  # fmt: skip


def _code(code: int) -> str:
    return str(code) if code else "no answer in time"


def _remedy(code: int) -> str:
    if code == 401:
        return (
            "The secrets differ: store the one that the webhook has at GitHub on the page Set-up."
        )
    if code == 0 or code >= 500:
        return "GitHub does not reach this server: see that BASE_URL is reachable from outside, and its proxy."
    if code in (301, 302, 307, 308, 404):
        return f"Something in front answers instead of this server: the path {manifest.DOOR} must lead here."
    return "See the delivery at GitHub, under the App's Advanced settings."


def _same(theirs: str, ours: str) -> bool:
    try:
        one, other = urlsplit(theirs), urlsplit(ours)
    except ValueError:
        return False
    return (one.netloc.lower(), one.path.rstrip("/")) == (
        other.netloc.lower(),
        other.path.rstrip("/"),
    )
