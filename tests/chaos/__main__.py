"""`python -m tests.chaos`: kill anything, lose nothing. Exit code 1 names what was violated.

Writes `chaos.json`. The seed is printed; with it the same weather comes again, though processes never
run the same way twice.
"""

import json
import os
import platform
import secrets
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.chaos import judging, observing, report
from tests.chaos.judging import Death, Lease, Request, Step, Verdict
from tests.chaos.processes import ROOT
from tests.chaos.stage import (
    LEASE_SECONDS,
    Stage,
    StageError,
    is_ready,
    stage,
    until,
)
from tests.chaos.storm import Storm
from tests.chaos.weather import LONG_SECONDS, forecast

QUIET_SECONDS: Final = 240.0
"""Retries that wait double: what was begun in the storm's last moment may need the third."""
IMPATIENT_SECONDS: Final = 30.0
REPOSITORIES: Final = 240
HEARTBEAT: Final = LEASE_SECONDS / 1.5
"""Seconds; see `syncsvc.leases.HEARTBEATS`."""


def main() -> None:
    """Lets it storm, and says what held."""
    given = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("Told to end."))  # and put everything away
    seed = secrets.randbelow(100_000) if given.seed is None else given.seed
    _say(f"Seed {seed}: {given.seconds:.0f} s of weather over {given.repositories} repositories.")
    given.began = began = time.monotonic()
    try:
        with stage(seed, given.repositories, keep=given.keep, files=given.files) as up:
            results = _run(up, seed, given)
            results["figures"]["seconds"]["all"] = round(time.monotonic() - began, 1)
            given.output.write_text(json.dumps(results, indent=1) + "\n")
            _say(report.as_text(results))
            if given.markdown:
                page = ROOT / "docs" / "reliability.md"
                page.write_text(report.rewritten(page.read_text(), report.as_markdown(results)))
            up.keep_logs = bool(results["violations"])
            if results["violations"]:
                sys.exit(1)
    except StageError as error:
        _say(f'FAILED: {error} Again: make chaos ARGS="{_again(seed, given)}"')
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(up: Stage, seed: int, given: Namespace) -> dict[str, Any]:
    if up.broker.name == "files":
        why = "As asked" if given.files else "There is no redis-server here"
        _say(f"{why}: the broker is made of files, and its loss is their removal.")
    _point_django_to(up)
    observer = observing.Observer(up.postgres.conninfo, lambda: up.github.ask("exist"))
    storm = Storm(up, forecast(seed, given.seconds), lambda: observer.holders)
    _say(f"Ready after {time.monotonic() - given.began:.0f} s.")
    observer.start()
    _find_accounts()
    try:
        began = time.monotonic()
        storm.rage()
        weather = time.monotonic() - began
        storm.calm()
        violations, quiet, compared, different = _quiet(up)
    finally:
        observer.stop()
    verdict = _judged(up, storm)
    violations += observer.violations + verdict.violations
    figures = verdict.figures | _figures(up, storm) | {
        "seconds": {"weather": round(weather, 1), "quiet": round(quiet, 1)},
        "observer": {
            "looks": observer.looks,
            "looks_per_second": round(observer.looks_per_second, 1),
            "looks_for_deletions": observer.deletion_looks,
            "blind_seconds": round(observer.blind_seconds, 1),
        },
        "compared": compared,
        "different": different,
    }  # fmt: skip
    if observer.looks_per_second < 5:
        violations.append(
            "The observer looked less than five times a second: too little to judge by."
        )
    return {
        "seed": seed,
        "again": _again(seed, given),
        "broker_kind": up.broker.name,
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "figures": figures,
        "violations": violations,
        "endings": [each.__dict__ for each in up.crew.endings],
    }


# -- quiet -----------------------------------------------------------------------------------------


def _find_accounts() -> None:
    """What `make run` does after its start: the first syncs begin, and it storms already."""
    from syncsvc import startup  # noqa: PLC0415  (Django is set up by now)

    if trouble := startup.after_start():
        raise StageError(trouble)


def _quiet(up: Stage) -> tuple[list[str], float, int, int]:
    """Waits until all is at rest: what is wrong then, the seconds that took, the items compared,
    and the fields in which they differ."""
    from django.db import connection  # noqa: PLC0415  (Django is set up by now)

    from tests.chaos import comparing  # noqa: PLC0415  (as above)

    connection.close()  # the database may have been restarted since
    began = said = time.monotonic()
    until(up.crew.all_up, 30, "Not every process comes back.")
    until(lambda: is_ready(up.web_url), 60, "It is not ready again (/readyz).")
    until(lambda: up.github.ask("waiting")["drained"], 60, "Webhooks are not taken.")
    while True:
        wrong = comparing.unsettled()
        compared, different = comparing.differences(up.github)
        seconds = time.monotonic() - began
        if not (wrong or different) or seconds > QUIET_SECONDS:
            break
        if time.monotonic() - said > IMPATIENT_SECONDS:
            said = time.monotonic()
            _say(f"After {seconds:.0f} s of quiet still: {'; '.join([*wrong, *different][:3])}")
        time.sleep(2)
    wrong += comparing.broken(up.github.ask("deliveries"))
    return [*wrong, *different], seconds, compared, len(different)


# -- judgment --------------------------------------------------------------------------------------


def _judged(up: Stage, storm: Storm) -> Verdict:
    # Requests first: the workers go on meanwhile, and a request is judged by a lease claimed before it.
    answered = up.github.ask("requests")
    with observing.connect(up.postgres.conninfo) as connection:
        steps = observing.steps(connection)
    leaders = up.crew.leaders()
    asked = [_request(each, leaders) for each in answered]
    ours = [each for each in asked if each.installation and not each.path.endswith("/hooks")]
    deaths = [
        Death(name=each.name, how=each.how, at=each.at, leader=each.leader)
        for each in up.crew.endings
    ]
    found, of_leases = judging.leases(steps)
    of_readers = judging.readers(found, ours, allowance=float(LEASE_SECONDS))
    of_budgets = judging.exhausted(ours, deaths, storm.outages)
    taken = judging.take_overs(found, deaths, storm.outages + storm.losses)
    of_time = judging.in_time(taken, heartbeat=HEARTBEAT)
    return Verdict(
        violations=[
            violation
            for each in (of_leases, of_readers, of_budgets, of_time)
            for violation in each.violations
        ],
        figures={
            "requests": {"all": len(asked)} | of_readers.figures | of_budgets.figures,
            "jobs": _jobs(found, steps),
            "take_over_seconds": of_time.figures,
        },
    )


def _request(row: dict[str, Any], leaders: dict[int, str]) -> Request:
    kind, _, number = row["principal"].partition(":")
    return Request(
        began=row["began"],
        answered=row["answered"],
        installation=int(number) if kind == "installation" else 0,
        service=leaders.get(row["group"], ""),
        pid=row["pid"],
        resource=row["resource"],
        refused=row["refused"],
        until=row["until"],
        secondary=row["secondary"],
        path=row["path"],
    )


def _jobs(found: list[Lease], steps: list[Step]) -> dict[str, Any]:
    ended = Counter(each.status for each in steps if each.old_lease and not each.lease)
    lost = [each for each in found if each.is_lost]
    back = {"queued", "blocked"}
    handed_back = sum(
        each.old_status == "running" and each.status == "queued" and each.old_expires > each.at
        for each in steps
    )
    return {
        "ended": sum(count for status, count in ended.items() if status not in back),
        "by_status": {key: count for key, count in sorted(ended.items()) if key not in back},
        "lost_by_their_worker": len(lost),
        "recovered": sum(each.taken_at < float("inf") for each in lost),
        "handed_back": handed_back,
    }


def _figures(up: Stage, storm: Storm) -> dict[str, Any]:
    from syncsvc.models import DeadLetter, Gap  # noqa: PLC0415  (Django is set up by now)
    from tests.chaos import comparing  # noqa: PLC0415  (as above)

    attempts = up.github.ask("deliveries")
    events = {each["guid"] for each in attempts}
    arrived = {each["guid"] for each in attempts if each["arrived"]}
    kinds = storm.done
    return {
        "world": {
            "accounts": len(up.github.installations),
            "repositories": len(up.github.ask("contents")),
            "happened": up.github.ask("figures")["happened"],
        },
        "acts": dict(kinds),
        "kills": {
            "all": kinds["kill"],
            "by_kind": _named(kinds, "kill: "),
            "by_service": {
                name: count
                for name, count in _named(kinds, "kill ").items()
                if name in up.crew.services
            },
            "unplanned": {
                each.name: each.unplanned for each in up.crew.services.values() if each.unplanned
            },
        },
        "freezes": kinds["freeze"],
        "broker": {"killed": kinds["broker lost"], "flushed": kinds["broker flushed"]},
        "database": {
            "immediate": kinds["database immediate"],
            "fast": kinds["database fast"],
            "connections cut": kinds["connections cut"],
        },
        "deliveries": {
            "sent": len(attempts),
            "acknowledged": sum(each["arrived"] for each in attempts),
            "lost": len(comparing.lost(attempts)),
            "redelivered": sum(each["redelivery"] for each in attempts),
            "never_arrived": len(events - arrived),
        },
        "gaps": Gap.objects.count(),
        "dead_letters": DeadLetter.objects.count(),
    }


def _named(kinds: Counter[str], prefix: str) -> dict[str, int]:
    return {
        key.removeprefix(prefix): count
        for key, count in sorted(kinds.items())
        if key.startswith(prefix)
    }


# -- the rest --------------------------------------------------------------------------------------


def _point_django_to(up: Stage) -> None:
    """This process compares with Django, and is no other in that than those on the stage."""
    for name in [each for each in os.environ if each not in up.environment]:
        del os.environ[name]
    os.environ.update(up.environment | {"PGAPPNAME": "comparer", "LOG_LEVEL": "WARNING"})
    import django  # noqa: PLC0415  (its settings are in the environment only now)

    django.setup()


def _again(seed: int, given: Namespace) -> str:
    return f"--seed {seed} --seconds {given.seconds:.0f} --repositories {given.repositories}"


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=LONG_SECONDS, help="of weather")
    parser.add_argument("--seed", type=int, help="another weather each; by default a random one")
    parser.add_argument("--repositories", type=int, default=REPOSITORIES, help="of all accounts")
    parser.add_argument("--output", type=Path, default=Path("chaos.json"))
    parser.add_argument("--keep", action="store_true", help="keep the logs, also when all held")
    parser.add_argument("--files", action="store_true", help="a broker of files, not Redis")
    parser.add_argument("--markdown", action="store_true", help="figures into docs/reliability.md")
    return parser.parse_args()


def _say(text: str) -> None:
    with suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
