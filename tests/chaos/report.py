"""What a storm came to, for people and as JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

SHOWN: Final = 25
BEGIN: Final = "<!-- chaos:begin -->"
END: Final = "<!-- chaos:end -->"

ROWS: Final = (
    ("seconds.weather", "weather, seconds"),
    ("seconds.quiet", "then quiet after, seconds"),
    ("world.accounts", "accounts"),
    ("world.repositories", "repositories"),
    ("world.happened", "things that happened at GitHub"),
    ("kills.all", "kills"),
    ("kills.by_kind", "  kills by kind"),
    ("kills.by_service", "  kills by service"),
    ("kills.unplanned", "services that died by themselves"),
    ("freezes", "freezes longer than a lease"),
    ("broker", "broker lost its messages"),
    ("database", "database stopped, or connections cut"),
    ("jobs.ended", "jobs that ended"),
    ("jobs.by_status", "  jobs by status"),
    ("jobs.lost_by_their_worker", "jobs whose worker was lost"),
    ("jobs.recovered", "  jobs taken up by another"),
    ("jobs.handed_back", "jobs handed back by a worker told to stop"),
    ("take_over_seconds.to_notice", "kill to free for others, seconds"),
    ("take_over_seconds.to_notice_undisturbed", "  the same where all that looks was there"),
    ("take_over_seconds.undisturbed", "  take-overs where all that looks was there"),
    ("take_over_seconds.undisturbed_within_two_heartbeats", "  of those within two heartbeats"),
    ("take_over_seconds.to_claim", "kill to claim by another, seconds"),
    ("observer.looks_per_second", "looks at the database a second"),
    ("requests.all", "requests to GitHub"),
    ("requests.late_requests", "  requests by a reader that had lost its lease"),
    ("requests.latest_seconds", "  the latest of them, seconds after"),
    ("requests.refused", "  requests refused, a limit being reached"),
    ("requests.against_us", "  of those sent against better knowledge"),
    ("deliveries.sent", "webhooks sent"),
    ("deliveries.acknowledged", "  webhooks acknowledged"),
    ("deliveries.lost", "  webhooks acknowledged and lost"),
    ("deliveries.redelivered", "  webhooks redelivered at our request"),
    ("deliveries.never_arrived", "events that never arrived as webhooks"),
    ("gaps", "gaps found"),
    ("dead_letters", "dead letters"),
    ("compared", "items compared in the end"),
    ("different", "  fields of them that differed"),
)


def as_text(results: Mapping[str, Any]) -> str:
    """The table, and what was violated."""
    lines = [f"Chaos, seed {results['seed']}, broker {results['broker_kind']}"]
    for path, label in ROWS:
        value = _at(results["figures"], path)
        if value not in (None, {}, []):
            lines.append(f"  {label:<44} {_shown(value)}")
    violations: Sequence[str] = results["violations"]
    if not violations:
        lines.append("Every invariant held.")
    else:
        lines.append(f"VIOLATED ({len(violations)}):")
        lines += [f"  - {each}" for each in violations[:SHOWN]]
        if len(violations) > SHOWN:
            lines.append(f"  ... and {len(violations) - SHOWN} more in the JSON.")
        lines.append(f'Again: make chaos ARGS="{results["again"]}"')
    return "\n".join(lines)


def as_markdown(results: Mapping[str, Any]) -> str:
    """The same table for docs/reliability.md."""
    lines = [
        (
            f"{results['at']}, seed {results['seed']}, broker {results['broker_kind']}, "
            f"{results['machine']}. Violations: {len(results['violations'])}."
        ),
        "",
        "| | |",
        "|---|---|",
    ]
    for path, label in ROWS:
        value = _at(results["figures"], path)
        if value not in (None, {}, []):
            lines.append(f"| {label.strip()} | {_shown(value)} |")
    return "\n".join(lines)


def rewritten(page: str, table: str) -> str:
    """The page with this table between its markers; raises ValueError where they are missing."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"There is no {BEGIN} ... {END} in the page.")
    return f"{head}{begin}\n{table}\n{end}{tail}"


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
