"""Keys, JWTs and tokens: cached, renewed in time, never shown."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from syncsvc.github.auth import (
    AppAuth,
    Credential,
    InstallationAuth,
    TokenAuth,
    load_private_key,
)
from syncsvc.github.errors import ConfigurationError
from syncsvc.github.memory import MemoryTokenStore
from tests.github_support import START, FakeClock, pem, rsa_key


class Issuer:
    """Makes tokens that last an hour, and counts them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.made = 0

    def create_installation_token(self, installation_id: int) -> Credential:
        self.made += 1
        return Credential.of(
            f"ghs_{installation_id}_{self.made}", self.clock.now + timedelta(hours=1)
        )


# -- private keys ----------------------------------------------------------------------------------


@pytest.mark.spec("R2.1")
def test_a_key_is_read_from_text_escaped_text_base64_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text(pem())
    forms = (
        pem(),
        pem().replace("\n", "\\n"),
        base64.b64encode(pem().encode()).decode(),
        str(path),
        f"  {path}\n",
    )
    numbers = {load_private_key(form).private_numbers() for form in forms}
    assert numbers == {rsa_key().private_numbers()}


def public_pem() -> str:
    return (
        rsa_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def locked_pem() -> str:
    return (
        rsa_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
        .decode()
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("/no/such/file.pem", "neither a private key nor a file"),
        (".", "neither a private key nor a file"),
        ("some\nlines", "not a private key"),
        (pem()[:200], "not a private key"),
        (pem().replace("M", "N"), "not a private key"),
        (public_pem(), "public key"),
        (locked_pem(), "passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    ],
)
def test_what_is_no_key_is_refused_with_a_sentence_that_helps(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_private_key(text)
    assert words in caught.value.sentence
    assert "GITHUB_APP_PRIVATE_KEY" in caught.value.sentence
    assert "MII" not in caught.value.sentence


# -- the App ---------------------------------------------------------------------------------------


@pytest.mark.spec("R4.1")
def test_the_jwt_is_backdated_and_good_for_ten_minutes_at_most() -> None:
    credential = AppAuth(" 42 ", rsa_key(), FakeClock()).credential()
    claims = jwt.decode(
        credential.value,
        rsa_key().public_key(),
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "42"
    assert claims["iat"] == int(START.timestamp()) - 60
    assert claims["exp"] - claims["iat"] <= 600


@pytest.mark.spec("R4.1")
def test_the_jwt_is_kept_and_renewed_before_it_expires() -> None:
    clock = FakeClock()
    auth = AppAuth(42, rsa_key(), clock)
    first = auth.credential()
    clock.advance(minutes=7)
    assert auth.credential() is first
    clock.advance(minutes=1, seconds=1)
    assert auth.credential() != first
    assert not auth.invalidate(first)


def test_an_app_without_an_id_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_APP_ID"):
        AppAuth("", rsa_key(), FakeClock())


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "  ", "ghp_a b", "ghp_a\nb", "ghp_ü"])
def test_what_is_no_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TokenAuth(token)
    assert "ghp_" not in str(caught.value)


def test_a_token_may_have_any_length_and_is_never_renewed() -> None:
    auth = TokenAuth(f"ghs_{'x' * 900}\n")
    assert len(auth.credential().value) == 904
    assert not auth.invalidate(auth.credential())


@pytest.mark.spec("R11.3")
def test_a_credential_does_not_show_its_value() -> None:
    credential = Credential.of("ghp_hidden")
    assert "ghp_hidden" not in f"{credential!r} {credential}"
    assert credential.fingerprint in repr(credential)


# -- installations ---------------------------------------------------------------------------------


@pytest.mark.spec("R4.1")
def test_an_installation_token_is_kept_and_renewed_five_minutes_before_its_end() -> None:
    clock = FakeClock()
    issuer = Issuer(clock)
    auth = InstallationAuth(issuer, 5, MemoryTokenStore(), clock)
    first = auth.credential()
    clock.advance(minutes=54)
    assert auth.credential() is first
    clock.advance(minutes=1)
    assert auth.credential() != first
    assert issuer.made == 2


@pytest.mark.spec("R4.3")
def test_another_process_takes_the_stored_token() -> None:
    clock, store = FakeClock(), MemoryTokenStore()
    issuer = Issuer(clock)
    first = InstallationAuth(issuer, 5, store, clock).credential()
    assert InstallationAuth(issuer, 5, store, clock).credential() == first
    assert issuer.made == 1


def test_threads_that_ask_together_get_one_token() -> None:
    clock = FakeClock()
    issuer = Issuer(clock)
    auth = InstallationAuth(issuer, 5, MemoryTokenStore(), clock)
    barrier = Barrier(8)

    def ask() -> str:
        barrier.wait()
        return auth.credential().fingerprint

    with ThreadPoolExecutor(8) as pool:
        prints = {future.result() for future in [pool.submit(ask) for _ in range(8)]}
    assert len(prints) == 1
    assert issuer.made == 1


def test_a_refused_token_is_forgotten_once_and_not_taken_from_the_store_again() -> None:
    clock, store = FakeClock(), MemoryTokenStore()
    issuer = Issuer(clock)
    auth = InstallationAuth(issuer, 5, store, clock)
    first = auth.credential()
    assert auth.invalidate(first)
    second = auth.credential()
    assert auth.invalidate(first)  # another request that the first token failed
    assert auth.credential() is second
    store.credentials[5] = first  # an older process wrote it back
    assert InstallationAuth(issuer, 5, store, clock).credential() == first
    assert auth.invalidate(second)
    assert auth.credential() not in (first, second)


def test_a_newer_token_of_another_process_is_not_thrown_away() -> None:
    clock, store = FakeClock(), MemoryTokenStore()
    auth = InstallationAuth(Issuer(clock), 5, store, clock)
    old = auth.credential()
    newer = Credential.of("ghs_newer", clock.now + timedelta(hours=1))
    store.credentials[5] = newer
    auth.invalidate(old)
    assert auth.credential() == newer


def test_nothing_secret_is_in_the_parts_of_a_jwt() -> None:
    token = AppAuth(42, rsa_key(), FakeClock()).credential().value
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert set(payload) == {"iat", "exp", "iss"}


@pytest.mark.spec("R4.1")
def test_a_jwt_from_before_the_clock_was_set_back_is_signed_anew() -> None:
    clock = FakeClock()
    app = AppAuth(1, load_private_key(pem(rsa_key())), clock)
    ahead = app.credential()
    clock.now -= timedelta(minutes=30)
    assert app.credential().value != ahead.value
