"""The WSGI door: what gunicorn serves. Webhooks are answered before Django's own machinery, and
streams of live updates leave the server's threads after it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_wsgi_application()

from syncsvc.live import door as live_door  # noqa: E402  (they need Django to be set up)
from syncsvc.webhooks import door  # noqa: E402

application = door.before(live_door.after(_django))
