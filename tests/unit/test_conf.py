"""The settings' defaults and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from syncsvc.conf import SyncSettings


@pytest.mark.spec("R13.1", "P42")
def test_the_environment_sets_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_INTERVAL_MINUTES", "1")
    monkeypatch.setenv("SYNC_UNMANAGED_POLICY", "log")
    settings = SyncSettings.from_environment()
    assert (settings.interval_minutes, settings.unmanaged_policy) == (1, "log")
    assert settings.manual_cooldown_seconds == 60


@pytest.mark.spec("R13.1", "P42")
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SYNC_INTERVAL_MINUTES", "0", "at least 1"),
        ("SYNC_INTERVAL_MINUTES", "soon", "whole number"),
        ("SYNC_MANUAL_COOLDOWN_SECONDS", "-1", "at least 0"),
        ("SYNC_UNMANAGED_POLICY", "ignore", "create or log"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"{name}.*{sentence}"):
        SyncSettings.from_environment()


@pytest.mark.spec("R13.1")
def test_a_setting_that_cannot_work_stops_every_command_with_one_sentence() -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    for command in ("discover", "serve"):
        ended = subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=root,
            env=environment | {"SYNC_INTERVAL_MINUTES": "0", "ENV_FILE": "none"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stderr == "SYNC_INTERVAL_MINUTES must be at least 1, not 0.\n"
