"""What the deliveries are sent to: a bare Django view, and the product, in the benchmark's database.

A WSGI server is pointed at `tests.bench.webhook_servers:bare` or `:ours`.
"""

import hashlib
import hmac
import os
from typing import Any, Final

TABLE: Final = "bench_delivery"
CREATE: Final = f"""
    CREATE TABLE IF NOT EXISTS {TABLE} (
        id bigserial PRIMARY KEY, guid varchar(64) NOT NULL UNIQUE, event varchar(64) NOT NULL,
        payload text NOT NULL, received_at timestamptz NOT NULL DEFAULT now()
    )
"""


def _set_up() -> None:
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415

    django.setup()
    settings.DATABASES["default"]["NAME"] = os.environ["BENCH_DATABASE"]


def _bare() -> Any:
    """The least that Django can do: no middleware, one view, one row, a connection that stays."""
    from django.conf import settings  # noqa: PLC0415
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.http import HttpRequest, HttpResponse  # noqa: PLC0415
    from django.urls import path  # noqa: PLC0415

    secret = settings.GITHUB_WEBHOOK_SECRET[0].encode()

    def view(request: HttpRequest) -> HttpResponse:
        digest = "sha256=" + hmac.new(secret, request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest, request.headers["X-Hub-Signature-256"]):
            return HttpResponse(status=401)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {TABLE} (guid, event, payload) VALUES (%s, %s, %s)",
                [
                    request.headers["X-GitHub-Delivery"],
                    request.headers["X-GitHub-Event"],
                    request.body.decode(),
                ],
            )
        # Else the server would send an empty body in chunks.
        return HttpResponse(status=202, headers={"Content-Length": "0"})

    class Urls:
        urlpatterns = [path("webhooks/github/", view)]

    settings.MIDDLEWARE = []
    settings.ROOT_URLCONF = Urls
    settings.DATABASES["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    return WSGIHandler()


def __getattr__(name: str) -> Any:
    """Only the one that is asked for is made."""
    if name == "bare":
        _set_up()
        return _bare()
    if name == "ours":
        _set_up()
        from config.wsgi import application  # noqa: PLC0415

        return application
    raise AttributeError(name)
