"""What the operators' pages say in their own words."""

from typing import Final

from django import template

from alerts.models import Incident
from alerts.pages_incidents import proofs

register = template.Library()

SEVERITY_TONES: Final = {"critical": "bad", "high": "warn", "warning": "info"}


@register.filter
def severity_tone(severity: str) -> str:
    """The tone of a severity; the word beside it says the same."""
    return SEVERITY_TONES.get(severity, "quiet")


@register.filter
def proof(row: Incident) -> list[tuple[str, str]]:
    """Where to look about an incident: words and address."""
    return proofs(row)
