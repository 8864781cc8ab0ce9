"""A stored payload as people may see it: unpacked, read, masked; or why there is nothing to see."""

import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from syncsvc.github.payloads import MalformedBody
from syncsvc.models import Delivery
from syncsvc.webhooks import payloads
from syncsvc.webhooks.masking import mask

#: A page shows no more of a payload than this; the API gives all of it.
MOST_CHARACTERS: Final = 200_000
#: And lays out none that is larger: that costs seconds.
MOST_BYTES: Final = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewed:
    """A masked payload, or a `problem` as a sentence."""

    payload: dict[str, Any] | None = None
    problem: str = ""

    @property
    def text(self) -> str:
        """It as indented JSON, as far as a page shows it."""
        if self.payload is None:
            return ""
        return json.dumps(self.payload, ensure_ascii=False, indent=2)


def view(row: Delivery, *, kept_days: int) -> Viewed:
    """The payload of this delivery; reads it from the database where that was put off."""
    if row.payload is None:
        return Viewed(
            problem=f"Payloads are kept for {kept_days} days. This one was removed since; "
            "what it did stays known."
        )
    try:
        return Viewed(payload=mask(payloads.load(row.payload)))
    except (MalformedBody, zlib.error):
        return Viewed(problem="What is stored of this payload cannot be read.")
