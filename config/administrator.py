"""Hides where the first administrator comes from.

An account that exists is never changed, with one exception: as long as it still has the password
that was generated for it, setting ADMIN_PASSWORD replaces that password.
"""

import os
import secrets

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from config.embedded import kept_secret

SECRET = "admin_password"  # noqa: S105  the name of a file


def ensure() -> None:
    """Creates the first administrator from ADMIN_USERNAME and ADMIN_PASSWORD, where missing.

    On the embedded database both have a default: `admin` and a generated password. On any other
    database nobody is invented: without ADMIN_PASSWORD no account is made.
    """
    name, chosen = _name(), os.environ.get("ADMIN_PASSWORD", "")
    user = _find(name)
    if user is None:
        password = chosen or _generated()
        if password:
            get_user_model().objects.create_superuser(name, "", password)
    elif chosen and (generated := _generated(make=False)) and user.check_password(generated):
        user.set_password(chosen)
        user.save(update_fields=["password"])


def how_to_log_in() -> str:
    """One line for people. A password is printed only when it was generated and is still valid."""
    name = _name()
    user = _find(name)
    if user is None:
        return "set ADMIN_USERNAME and ADMIN_PASSWORD, or run `manage.py createsuperuser`"
    generated = _generated(make=False)
    if generated and user.check_password(generated):
        return f"{name} with the password {generated} (kept in {settings.VAR_DIR / SECRET})"
    if os.environ.get("ADMIN_PASSWORD"):
        return f"{name} with your ADMIN_PASSWORD, unless it was changed since"
    return f"{name} with the password you chose (`manage.py changepassword {name}` sets another)"


def _name() -> str:
    return os.environ.get("ADMIN_USERNAME") or "admin"


def _find(name: str) -> User | None:
    return get_user_model().objects.filter(username=name).first()


def _generated(*, make: bool = True) -> str:
    """The generated password of the embedded database; empty where there is none."""
    if not settings.EMBEDDED or not (make or (settings.VAR_DIR / SECRET).exists()):
        return ""
    return kept_secret(SECRET, lambda: secrets.token_urlsafe(12))
