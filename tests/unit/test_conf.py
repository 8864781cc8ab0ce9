"""The settings' defaults and what is refused."""

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
