"""What can be tuned: one frozen record of settings, read by policy and conductor alike.

Each field has an environment variable `SYNC_<FIELD>` for its default.
"""

from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import Any, Self

import environ
from django.core.exceptions import ImproperlyConfigured

from syncsvc.models import Installation
from syncsvc.planner import Bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncSettings:
    """How an installation is kept in sync. Times in the unit of the name."""

    interval_minutes: int = 15
    interval_least_minutes: int = 5
    manual_cooldown_seconds: int = 60
    stale_minutes: int = 60
    budget_reserve: int = 100
    webhook_reserve: int = 250
    concurrency: int = 5
    lease_seconds: int = 30
    job_attempts: int = 5
    grace_seconds: int = 60
    breaker_failures: int = 5
    unmanaged_policy: str = "create"
    commit_limit: int = 1000
    overlap_seconds: int = 120
    full_read_hours: int = 24
    gap_silence_minutes: int = 10
    redelivery_attempts: int = 3
    payload_days: int = 14
    mass_disappearance_percent: int = 20
    mass_disappearance_minimum: int = 3
    audit_interval_minutes: int = 60
    audit_sample: int = 40
    audit_budget_percent: int = 5

    def __post_init__(self) -> None:
        least = {
            "interval_minutes": 1,
            "interval_least_minutes": 1,
            "concurrency": 1,
            "lease_seconds": 5,
            "job_attempts": 1,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < least.get(field.name, 0):
                raise ImproperlyConfigured(
                    f"SYNC_{field.name.upper()} must be at least {least.get(field.name, 0)}, not {value}."
                )
        if self.unmanaged_policy not in ("create", "log"):
            raise ImproperlyConfigured(
                f"SYNC_UNMANAGED_POLICY must be create or log, not {self.unmanaged_policy!r}."
            )

    @classmethod
    def from_environment(cls) -> Self:
        """The defaults, each overridden by its `SYNC_<NAME>`; raises `ImproperlyConfigured`."""
        env = environ.Env()
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = f"SYNC_{field.name.upper()}"
            default: Any = field.default
            try:
                read = env.str if field.type is str else env.int
                values[field.name] = read(name, default=default)
            except ValueError:
                raise ImproperlyConfigured(f"{name} must be a whole number.") from None
        return cls(**values)

    @property
    def interval(self) -> timedelta:
        """What people were promised: the longest time between two syncs."""
        return timedelta(minutes=self.interval_minutes)

    @property
    def bounds(self) -> Bounds:
        """Between which times the interval of an account adapts (R3.4)."""
        least = min(self.interval_least_minutes, self.interval_minutes)
        return Bounds(least=timedelta(minutes=least), most=self.interval)


@cache
def defaults() -> SyncSettings:
    """The settings of this process where nothing else is set."""
    return SyncSettings.from_environment()


def for_installation(installation: Installation | None) -> SyncSettings:  # noqa: ARG001  (none has its own yet)
    """The settings in force for one installation (R2.4)."""
    return defaults()
