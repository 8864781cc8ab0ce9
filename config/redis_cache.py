"""Django's cache in Redis, which forgets instead of failing: what it holds only saves work.

Hides a Redis that is down or never answers. A request waits for it half a second, once in five seconds
and process; then everything is as if nothing had been remembered.
"""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import redis
import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 5.0
Answer = TypeVar("Answer")


class _State:
    """Of this process: Django makes a cache for each thread, and one of them finds out for all."""

    quiet_until = 0.0
    is_down = False


class Cache(RedisCache):
    """Chosen by `CACHES`."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        limits = {
            "socket_timeout": SECONDS,
            "socket_connect_timeout": SECONDS,
            # A kept connection that was cut is opened anew, once.
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        }
        super().__init__(server, params | {"OPTIONS": limits | params.get("OPTIONS", {})})

    def _ask(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        if time.monotonic() < _State.quiet_until:
            return otherwise
        try:
            answer = question()
        except (redis.RedisError, OSError) as error:
            _State.quiet_until = time.monotonic() + PAUSE_SECONDS
            if not _State.is_down:  # said once, not for each request
                _State.is_down = True
                log.warning("cache.unreachable", error=type(error).__name__)
            return otherwise
        if _State.is_down:
            _State.is_down = False
            log.info("cache.back")
        return answer

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._ask(lambda: super(Cache, self).get(key, default, version), default)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return self._ask(
            lambda: super(Cache, self).add(key, value, timeout, version), True
        )  # nobody was before

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._ask(lambda: super(Cache, self).set(key, value, timeout, version), None)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._ask(
            lambda: super(Cache, self).touch(key, timeout, version), False
        )  # it is not there

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._ask(lambda: super(Cache, self).delete(key, version), False)  # it was not there

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        return self._ask(lambda: super(Cache, self).get_many(keys, version), {})

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._ask(lambda: super(Cache, self).has_key(key, version), False)  # it is not there

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self._ask(lambda: super(Cache, self).incr(key, delta, version), delta)

    def set_many(
        self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        return self._ask(lambda: super(Cache, self).set_many(data, timeout, version), list(data))

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._ask(lambda: super(Cache, self).delete_many(keys, version), None)

    def clear(self) -> None:
        self._ask(lambda: super(Cache, self).clear(), None)
