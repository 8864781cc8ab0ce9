"""Payloads for people: no secret and no mail address survives, everything else does."""

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncsvc.github import redaction
from syncsvc.github.redaction import REPLACEMENT, names_a_secret
from syncsvc.webhooks.masking import MOST_LEVELS, TOO_DEEP, mask, mask_text
from tests.contract import contract_dir

pytestmark = pytest.mark.spec("R11.3")

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl"
TOKENS = [
    *(f"gh{kind}_16C7e42F292c6912E7710c838347Ae178B4a" for kind in "pousr"),
    "github_pat_11ABCDEFG0aBcDeFgHiJkL_mnopqrstuvwxyz0123456789",
    JWT,
    PEM,
]
SECRET_FIELDS = [
    "token",
    "access_token",
    "refreshToken",
    "secret",
    "client_secret",
    "webhookSecret",
    "password",
    "Authorization",
    "private_key",
    "privateKey",
    "private-key",
    "API_KEY",
    "x-api-key",
    "hmac",
    "signature",
    "X-Hub-Signature-256",
    "Set-Cookie",
    "credentials",
    "passphrase",
    "passwd",
    "DB_PWD",
]


def told(payload: Any) -> str:
    return json.dumps(mask(payload), ensure_ascii=False)


# -- fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", SECRET_FIELDS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: [value],
        lambda value: [[{"kind": "x", "value": value}]],
        lambda value: {"inner": {"deeper": value}},
    ],
)
def test_what_is_named_a_secret_is_masked_however_deep_it_lies(field: str, wrap: Any) -> None:
    shown = told({"a": [{"b": {field: wrap("correct horse")}}]})
    assert "correct horse" not in shown
    assert REPLACEMENT in shown


def test_what_tells_nothing_stays_even_under_the_name_of_a_secret() -> None:
    payload = {"secret": None, "token": True, "password": "", "signature": {"verified": False}}
    assert mask(payload) == payload
    assert mask({"token": 123456}) == {"token": REPLACEMENT}


def test_githubs_fields_that_only_sound_like_secrets_stay_readable() -> None:
    payload = {
        "access_tokens_url": "https://api.github.com/app/installations/2/access_tokens",
        "security_and_analysis": {"secret_scanning": {"status": "enabled"}},
        "permissions": {"secrets": "read", "organization_secrets": "write"},
    }
    assert mask(payload) == payload
    assert mask({"permissions": {"secrets": "hunter2"}}) == {
        "permissions": {"secrets": REPLACEMENT}
    }
    assert mask({"secrets": "read"}) == {"secrets": REPLACEMENT}
    hidden = {"personal_access_token_request": {"token": "hunter2", "id": 3}}
    assert mask(hidden) == {"personal_access_token_request": {"token": REPLACEMENT, "id": 3}}


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("text", ["{}", "use {} please", "git clone https://x:{}@github.com/o/r"])
def test_what_looks_like_a_credential_is_masked_anywhere(token: str, text: str) -> None:
    said = text.format(token)
    payload = {"issue": {"body": said, said: 1}, "commits": [{"message": said}, said]}
    shown = told(payload)
    assert token not in shown
    assert json.dumps(token)[1:-1] not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann@example.com", "a***@example.com"),
        ("Ann <ann.lee+x@mail.example.co.uk>", "Ann <a***@mail.example.co.uk>"),
        ("mailto:ann@example.com, bob@example.org.", "mailto:a***@example.com, b***@example.org."),
        ("Co-authored-by: Ö <ö@exämple.de>", "Co-authored-by: Ö <ö***@exämple.de>"),
        ("a@b.io", "a***@b.io"),
        ("joe@localhost", "j***@localhost"),
        ("by root@LOCALHOST.", "by r***@LOCALHOST."),
        ("joe@localhost.localdomain", "j***@localhost.localdomain"),
        ("joe@localhosting", "joe@localhosting"),
        ("Signed-off-by: Joe <joe@box>", "Signed-off-by: Joe <j***@box>"),
        ("joe@box.(none)", "j***@box.(none)"),
        ("joe@[10.0.0.1]", "j***@[10.0.0.1]"),
        ("joe@[IPv6:2001:db8::1]", "j***@[IPv6:2001:db8::1]"),
        ("joe%40example.com", "j***%40example.com"),
        ("a%40b%40example.com", "a***%40example.com"),
        ("https://x.io/?to=joe%40example.com&b=1", "https://x.io/?***%40example.com&b=1"),
        ("noreply%40github.com", "noreply%40github.com"),
        ("package@1.2.3, left-pad@1.2.3-beta.1", "package@1.2.3, left-pad@1.2.3-beta.1"),
        ("pkg:npm/%40angular/core@12.3.1", "pkg:npm/%40angular/core@12.3.1"),
        ("git@github.com:octo/site.git", "git@github.com:octo/site.git"),
        ("noreply@github.com", "noreply@github.com"),
        ("1+o@users.noreply.github.com", "1+o@users.noreply.github.com"),
        ("o@users.noreply.github.com.evil.io", "o***@users.noreply.github.com.evil.io"),
        (
            "thanks @octocat, see actions/checkout@v4.1",
            "thanks @octocat, see actions/checkout@v4.1",
        ),
        ("1 @ 2.50 each", "1 @ 2.50 each"),
    ],
)
def test_a_mail_address_keeps_its_domain_only(text: str, shown: str) -> None:
    assert mask_text(text) == shown
    assert mask({"body": [text]}) == {"body": [shown]}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann@example.com", "a***@example.com"),
        ("ann@localhost", "a***@localhost"),
        ("ann/lee@example.com", "a***@example.com"),
        ("Ann Lee <ann@example.com>", "Ann Lee <a***@example.com>"),
        ("ann@example.com, bob@example.org", "a***@example.com, b***@example.org"),
        (TOKENS[0], REPLACEMENT),
        ("ann", REPLACEMENT),
        ("a@localhost, bob@example.com", "a***@localhost, b***@example.com"),
        ("ann@box, bob@example.com", "a***@box, b***@example.com"),
        ("bob; ann@box", f"{REPLACEMENT}; a***@box"),
        ("ann @ box", REPLACEMENT),
        ('"Lee, Ann" <ann@example.com>', REPLACEMENT),
        ("ann%40box", "a***%40box"),
        ("ann@box?cc=bob%40box", "a***%40box"),
        (["ann@box", ["bob"]], ["a***@box", [REPLACEMENT]]),
        ({"primary": True, "value": "ann"}, {"primary": True, "value": REPLACEMENT}),
        (491234567, REPLACEMENT),
        (float("nan"), REPLACEMENT),
        ("noreply@github.com", "noreply@github.com"),
        ("", ""),
        (None, None),
    ],
)
def test_a_field_for_an_address_is_masked_whatever_it_holds(value: Any, shown: Any) -> None:
    assert mask({"pusher": {"email": value}}) == {"pusher": {"email": shown}}
    for name in (
        "organization_billing_email",
        "mail_address",
        "E-Mail",
        "userEmails",
        "emailAddress",
    ):
        assert mask({name: value}) == {name: shown}


SLACK = "https://hooks.slack.com/services/T0AB/B0CD/XyZ0123456789abcdefghijk"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"post to <{SLACK}|here>", f"post to <https://hooks.slack.com/{REPLACEMENT}>"),
        (SLACK.upper(), f"HTTPS://HOOKS.SLACK.COM/{REPLACEMENT}"),
        (SLACK.replace("/", "\\/"), f"https:\\/\\/hooks.slack.com\\/{REPLACEMENT}"),
        (
            "https://discord.com/api/webhooks/123456789/aBc-dEf_0123456789xyz",
            f"https://discord.com/api/webhooks/123456789/{REPLACEMENT}",
        ),
        (
            "https://acme.webhook.office.com/webhookb2/a1@b2/IncomingWebhook/c3/d4",
            f"https://acme.webhook.office.com/{REPLACEMENT}",
        ),
        (
            "https://chat.example.com/hooks/x1y2z3x1y2z3x1y2z3x1y2z3ab.",
            f"https://chat.example.com/hooks/{REPLACEMENT}",
        ),
        ("curl -d pwd=hunter2 passwd: hunter2", f"curl -d pwd={REPLACEMENT} passwd: {REPLACEMENT}"),
    ],
)
def test_an_address_that_lets_anybody_post_is_a_credential(text: str, shown: str) -> None:
    assert mask_text(text) == shown
    assert mask({"config": {"url": text}}) == {"config": {"url": shown}}


@pytest.mark.parametrize(
    "url",
    [
        "https://api.github.com/repos/octo/site/hooks",
        "https://api.github.com/repos/octo/site/hooks/12345678/deliveries",
        "https://github.com/octo/webhooks/commit/6dcb09b5b57875f334f61aebed695e2e4193db5e",
        "https://github.com/octo/site/blob/main/src/hooks/useSomethingLong2Name.ts",
        "https://docs.github.com/en/webhooks/webhook-events-and-payloads",
        "https://example.com/webhooks/github",
    ],
)
def test_addresses_that_only_speak_of_webhooks_stay(url: str) -> None:
    assert mask_text(url) == url


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"t":"\\ud83d cut"}', {"t": "\ufffd cut"}),
        (b'{"\\ud83d":1,"\\ud83e":2}', {"\ufffd": 1, "\ufffd (2)": 2}),
        (b'{"email":"\\ud83d@x"}', {"email": "\ufffd***@x"}),
        (b'{"n":NaN,"o":[1e999,-1e999,1.5]}', {"n": "NaN", "o": ["Infinity", "-Infinity", 1.5]}),
        (b'{"token":NaN}', {"token": REPLACEMENT}),
    ],
)
def test_what_json_or_utf_8_cannot_say_is_shown_as_near_as_they_can(
    body: bytes, shown: dict[str, Any]
) -> None:
    masked = mask(json.loads(body))
    assert masked == shown
    json.dumps(masked, allow_nan=False, ensure_ascii=False).encode()


pieces = st.sampled_from(
    [
        *TOKENS,
        "-----BEGIN EC PRIVATE KEY-----",
        "v1." + "0a" * 20,
        SLACK,
        *("https://x.io/hooks/", "/webhooks/", "a1" * 8, "Pwd", "PASSWD=", "://outlook.office.com"),
        *("logic.azure.com", "chat.googleapis.com", "webhook.office.com", "/webhook", "\\/", "/"),
        "://me:pass@host",
        *("Authorization: ", "BEARER ", "Token ", "abc123def456", "client_secret=", "Password: x"),
        *(
            "private_key: ",
            "refresh_token",
            "gh",
            "p_",
            "a",
            " ",
            ":",
            "=",
            "@",
            "\N{LATIN SMALL LETTER LONG S}ecret: x",
            "é",
        ),
    ]
)


@given(text=st.lists(pieces | st.text(max_size=3), max_size=8).map("".join))
def test_what_is_skipped_for_speed_would_not_have_been_redacted(text: str) -> None:
    assert redaction.redact(text) == redaction._redact_thoroughly(text)


# -- any payload -----------------------------------------------------------------------------------

plain = st.text(st.characters(exclude_characters="@:/=", exclude_categories=["Cs"]), max_size=20)
names = plain.filter(lambda name: not names_a_secret(name) and "mail" not in name.lower())
leaves = st.none() | st.booleans() | st.integers() | plain


def trees(leaf: Any) -> Any:
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
    )


@given(payload=trees(leaves | st.sampled_from(TOKENS) | st.emails()))
def test_the_input_is_not_touched(payload: Any) -> None:
    before = copy.deepcopy(payload)
    mask(payload)
    assert payload == before


@given(
    rest=st.lists(trees(leaves), max_size=3),
    field=st.sampled_from(SECRET_FIELDS),
    around=trees(st.just("Tr0ub4dor-3")),
    upper=st.booleans(),
)
def test_no_secret_survives_in_any_payload(
    rest: list[Any], field: str, around: Any, upper: bool
) -> None:
    key = field.upper() if upper else field
    assert "Tr0ub4dor-3" not in told([*rest, {"outer": {key: around}}])


@given(token=st.sampled_from(TOKENS), before=plain, after=plain, nested=trees(leaves))
def test_no_credential_survives_in_any_text(
    token: str, before: str, after: str, nested: Any
) -> None:
    shown = told([nested, {"text": f"{before} {token} {after}"}])
    assert json.dumps(token)[1:-1] not in shown


@given(address=st.emails())
@example(address="/0@A.AC")
@example(address="0*@A.AC")
def test_no_address_survives_in_a_field_for_one(address: str) -> None:
    local = address.rpartition("@")[0]
    shown = mask({"author": {"email": address}})["author"]["email"]
    kept = shown.rpartition("@")[0].removesuffix("***")
    assert len(local) == 1 or local not in kept


@given(payload=trees(leaves))
def test_what_is_neither_keeps_its_shape(payload: Any) -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return [shape(each) for each in value.values()]
        return [shape(each) for each in value] if isinstance(value, list) else type(value)

    assert shape(mask(payload)) == shape(payload)


def test_names_that_read_the_same_once_masked_stay_apart() -> None:
    shown = mask({TOKENS[0]: 1, TOKENS[1]: 2})
    assert list(shown.values()) == [1, 2]


def test_what_is_nested_without_end_is_cut() -> None:
    payload: Any = "secret words"
    for _ in range(5_000):
        payload = [payload]
    shown = json.dumps(mask(payload))
    assert TOO_DEEP in shown
    assert shown.count("[") < MOST_LEVELS + 5


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a." * 100_000,
        "a@" * 100_000,
        "a@" + "b." * 99_999,
        "%40" * 60_000,
        "a%40b." * 30_000,
        "https://h/hooks/" * 12_000,
        "https://h/hooks/" + "a1" * 100_000,
        "hooks." + "a.webhook.office.com" * 10_000,
    ],
)
def test_hostile_texts_take_no_longer_than_long_ones(text: str) -> None:
    started = time.perf_counter()
    mask({"text": text, "email": text})
    assert time.perf_counter() - started < 2


def test_githubs_own_examples_keep_everything_but_addresses_and_secrets() -> None:
    for path in sorted((contract_dir() / "webhooks").rglob("*.json")):
        payload = json.loads(path.read_text())
        shown = json.dumps(mask(payload))
        assert "codertocat@" not in shown.lower().replace("codertocat@users.noreply", "")
        for kept in ("full_name", "html_url", "default_branch"):
            assert json.dumps(payload).count(kept) == shown.count(kept)
