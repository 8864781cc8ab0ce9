"""What is logged says nothing that must stay secret."""

from typing import Any

import pytest

from config.logs import redact_event

TOKEN = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.mark.spec("R11.3")
@pytest.mark.parametrize(
    "event",
    [
        {"event": f"sent {TOKEN} away"},
        {"event": "x", "headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"event": "x", "items": [{"nested": [TOKEN]}]},
        {"event": "x", "exception": f"Traceback ...\nError: token {TOKEN} refused"},
        {"event": "x", "webhook_secret": "correct horse"},
        {"event": "x", "error": ValueError(TOKEN)},
    ],
)
def test_secrets_do_not_reach_the_log(event: dict[str, Any]) -> None:
    line = repr(redact_event(None, "info", event))
    assert TOKEN not in line
    assert "correct horse" not in line
    assert "[redacted]" in line


def test_what_is_no_secret_is_logged_as_it_is() -> None:
    event = {"event": "sync.request", "installation_id": 7, "trigger": "cron", "job_id": None}
    assert redact_event(None, "info", dict(event)) == event
