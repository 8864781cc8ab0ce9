"""Hides what `make run` needs to mirror the GitHub simulator when nobody gave GitHub credentials.

Everything is kept in `var/demo`, so that a second start meets the same world at the same address,
and so that a command in a second terminal finds the simulator that `make run` serves.
"""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from config.embedded import is_embedded, kept_secret, var_dir

CREDENTIALS = ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_TOKEN", "GITHUB_API_URL")
LEFT = "left"
"""The file that says that the demo was left; who removes it has the demo back."""


def is_wanted(env: Mapping[str, str]) -> bool:
    """Whether to mirror the simulator: no account, and no other GitHub, was named, and nobody left it."""
    return not any(env.get(name) for name in CREDENTIALS) and not has_left()


def leave() -> None:
    """From the next start on the simulator is neither served nor mirrored."""
    (_folder() / LEFT).touch()


def has_left() -> bool:
    """Whether somebody left the demo on this machine."""
    return (var_dir() / "demo" / LEFT).exists()


def prepare(*, app_id: str) -> dict[str, str]:
    """Makes the environment in which the product meets the simulator, and notes it for `recall`."""
    environment = {
        "GITHUB_API_URL": f"http://127.0.0.1:{_port()}",
        "GITHUB_APP_ID": app_id,
        "GITHUB_APP_PRIVATE_KEY": str(_private_key_file()),
        "GITHUB_WEBHOOK_SECRET": kept_secret("demo/webhook_secret", lambda: secrets.token_hex(20)),
        "SYNC_DEMO": "1",
        # Things happen all the time there, and people who try it out are not patient.
        "SYNC_INTERVAL_MINUTES": os.environ.get("SYNC_INTERVAL_MINUTES", "1"),
        "SYNC_MANUAL_COOLDOWN_SECONDS": os.environ.get("SYNC_MANUAL_COOLDOWN_SECONDS", "5"),
    }
    note = _folder() / "environment.json"
    draft = note.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(environment))
    draft.replace(note)  # whole or not at all: every command reads it
    return environment


def recall(env: Mapping[str, str]) -> dict[str, str]:
    """What `prepare` noted, where the simulator is wanted and runs; empty otherwise."""
    note = var_dir() / "demo" / "environment.json"
    if not is_wanted(env) or not is_embedded(env) or not note.exists():
        return {}
    try:
        noted: dict[str, str] = json.loads(note.read_text())
        port = urlsplit(noted["GITHUB_API_URL"]).port
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # cut off, or another's: as good as none
        return {}
    return {} if port is None or _is_free(port) else noted


def _port() -> int:
    """Any free port, and from then on the same, unless somebody else took it."""
    kept = _folder() / "port"
    try:
        number = int(kept.read_text())
    except (OSError, ValueError):  # none yet, or its writer was killed
        number = 0
    if number and _is_free(number):
        return number
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    kept.write_text(str(number))
    return number


def _private_key_file() -> Path:
    """The App's private key, made once."""
    _folder()
    kept_secret("demo/private-key.pem", _new_key)
    return var_dir() / "demo" / "private-key.pem"


def _folder() -> Path:
    folder = var_dir() / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def _new_key() -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  needed once in a life
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  (needed once in a life)

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
