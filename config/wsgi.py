"""The WSGI door: what gunicorn serves. Webhooks are answered before Django's own machinery."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_wsgi_application()

from syncsvc.webhooks import door  # noqa: E402  (it needs Django to be set up)

application = door.before(_django)
