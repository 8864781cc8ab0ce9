"""When an installation is due. Pure and deterministic: each one has its own place in the interval."""

import hashlib
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def next_run(key: int, after: datetime, interval: timedelta) -> datetime:
    """The first moment after `after` at which the installation `key` is due (R3.4).

    The offset within the interval is drawn from the key, so that a thousand installations spread
    evenly over it, and each keeps its place whatever else happens.
    """
    step = interval.total_seconds()
    digest = hashlib.blake2b(str(key).encode(), digest_size=8).digest()
    offset = int.from_bytes(digest) / 2**64 * step
    passed = (after - _EPOCH).total_seconds() - offset
    return _EPOCH + timedelta(seconds=(passed // step + 1) * step + offset)
