"""The documentation keeps up with the code: names that exist are explained, names explained exist."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands

from syncsvc.conf import SyncSettings
from syncsvc.github.errors import GitHubError
from syncsvc.models import Delivery, Gap, SyncJob
from syncsvc.plan import Kind
from syncsvc.policy import Reason
from syncsvc.webhooks import wording

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
OPERATIONS = (DOCS / "operations.md").read_text()
CONFIGURATION = (DOCS / "configuration.md").read_text()

#: Set by ourselves for ourselves, or by the shell: nobody configures these.
INTERNAL = {"PYTEST_VERSION", "SYNC_LISTEN_FD", "PATH", "DJANGO_SETTINGS_MODULE"}
#: What PEP 3333 calls environ too, and is a request.
OF_REQUESTS = {
    "REQUEST_METHOD",
    "PATH_INFO",
    "SERVER_PROTOCOL",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "HTTP_TRANSFER_ENCODING",
}


def source() -> str:
    """All code of the product but the simulator, which has no settings and no events of ours."""
    files = [
        p
        for app in ("config", "syncsvc", "reconciliation", "alerts")
        for p in (ROOT / app).rglob("*.py")
    ]
    return "\n".join(p.read_text() for p in files if "simulator" not in p.parts)


def variables_read() -> set[str]:
    """Every environment variable that the code reads by name."""
    read = re.findall(r'(?:\benv(?:\.\w+)?|environ(?:\.get)?)[\(\[]\s*"([A-Z][A-Z_]+)"', source())
    tested = re.findall(r'"([A-Z][A-Z_]+)" (?:not )?in os\.environ', source())
    return {*read, *tested} - INTERNAL - OF_REQUESTS


def settings_documented() -> dict[str, str]:
    """The variables of configuration.md with their defaults, as written there."""
    return dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", CONFIGURATION, re.MULTILINE))


def test_every_setting_is_documented_with_its_default() -> None:
    documented = settings_documented()
    for field in fields(SyncSettings):
        name = f"SYNC_{field.name.upper()}"
        assert documented.get(name) == f"`{field.default}`", f"docs/configuration.md: {name}"


def test_every_environment_variable_is_documented() -> None:
    assert variables_read() - settings_documented().keys() == set()


def test_no_environment_variable_is_documented_that_nothing_reads() -> None:
    ours = {f"SYNC_{field.name.upper()}" for field in fields(SyncSettings)}
    compose = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert settings_documented().keys() - variables_read() - ours - compose == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) - get_commands().keys() == set()
    assert set(re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", text, re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), link


def test_every_event_is_explained() -> None:
    events = set(
        re.findall(
            r'(?:\.emit|self\._emit|log\.(?:info|warning|error|exception))\(\s*"([a-z_]+\.[a-z_.]+)"',
            source(),
        )
    )
    assert len(events) > 15
    missing = {name for name in events if f"| `{name}` |" not in OPERATIONS}
    assert not missing, f"add a row to the table of events in docs/operations.md: {missing}"


def test_every_reason_status_kind_and_failure_is_explained() -> None:
    kinds = {kind.kind for kind in _all_errors(GitHubError)}
    for name in {*map(str, Reason), *SyncJob.Status.values, *map(str, Kind), *kinds}:
        assert f"| `{name}` |" in OPERATIONS, f"docs/operations.md does not explain {name}"


def test_every_word_of_deliveries_and_gaps_is_explained() -> None:
    words = {*wording.OUTCOMES, *wording.HEALED_BY, *Delivery.Status.values, *Gap.Reason.values}
    missing = {name for name in words if f"| `{name}` |" not in OPERATIONS}
    assert not missing, f"docs/operations.md, chapter Webhooks: {missing}"
    assert wording.REASONS.keys() == set(Gap.Reason.values)


def test_only_measured_figures_stand_between_the_markers() -> None:
    text = (DOCS / "performance.md").read_text()
    assert text.count("<!-- bench:begin -->") == text.count("<!-- bench:end -->") == 1


def _all_errors(error: type[GitHubError]) -> set[type[GitHubError]]:
    return {error}.union(*(_all_errors(each) for each in error.__subclasses__()))
