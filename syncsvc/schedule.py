"""When an installation is due. Pure and deterministic: each one has its own place in the interval."""

import hashlib
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def next_run(key: int, after: datetime, interval: timedelta) -> datetime:
    """The first moment after `after` at which the installation `key` is due (R3.4).

    The offset within the interval is drawn from the key, so that a thousand installations spread
    evenly over it, and each keeps its place whatever else happens.
    """
    # Whole microseconds: with floats the moment itself would sometimes count as "after" it.
    step = interval // _MICROSECOND
    digest = hashlib.blake2b(str(key).encode(), digest_size=8).digest()
    offset = int.from_bytes(digest) % step
    passed = (after - _EPOCH) // _MICROSECOND - offset
    return _EPOCH + timedelta(microseconds=(passed // step + 1) * step + offset)
