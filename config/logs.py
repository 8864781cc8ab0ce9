"""Logs as JSON lines (readable colours on a terminal), Sentry, and the one place that redacts both.

Whatever is logged passes `redact_event`, so that a token in a message, an argument or a stack trace never
leaves the process (R11.3).
"""

import logging
import logging.config
import os
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from syncsvc.github.redaction import REPLACEMENT, names_a_secret, redact


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    """structlog processor: masks secrets by the name of the field and by the look of the value."""
    for key, value in event.items():
        event[key] = _redact_value(key, value)
    return event


def _redact_value(key: str, value: object) -> object:
    if isinstance(value, dict):
        return {k: _redact_value(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(key, v) for v in value]
    if isinstance(value, str):
        if value and names_a_secret(key):
            return REPLACEMENT
        return redact(value)
    if isinstance(value, int | float | bool | None):
        return value
    return redact(str(value))


def configure(*, level: str) -> None:
    """Sets up structlog and the standard library's logging to speak the same JSON lines on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    renderer: Any = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=24)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "lines": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        renderer,
                    ],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "lines"},
            },
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "urllib3": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                # A line for each message that came too late: thousands after an hour without a worker.
                "celery.worker.request": {"level": "WARNING"},
                "django_celery_beat": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                # Strangers try names all day: a 400 is answer enough.
                "django.security.DisallowedHost": {"level": "CRITICAL"},
            },
        }
    )


def configure_sentry(dsn: str) -> None:
    """Reports errors to Sentry without personal data and with every string redacted."""
    import sentry_sdk  # noqa: PLC0415  (only where a DSN is set: it slows every start)

    def scrub(event: Any, _hint: Any) -> Any:
        asked = event.get("request")
        if isinstance(asked, dict):
            asked.pop("query_string", None)  # GitHub leads people back with a code in it
        return _redact_value("event", event)

    def forget_ping(crumb: Any, _hint: Any) -> Any:
        """Of requests only the address is kept, and that of the ping is a secret."""
        address = urlsplit(os.environ.get("HEALTHCHECK_PING_URL", ""))
        asked = str((crumb.get("data") or {}).get("url", ""))
        return None if address.hostname and address.hostname in asked else crumb

    sentry_sdk.init(
        dsn=dsn,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",  # people paste keys into forms
        before_send=scrub,
        before_breadcrumb=forget_ping,
    )
