"""What counts as a delivery: signatures, content types, JSON and headers, each spoiled in turn."""

import hashlib
import hmac
import json
import zlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.webhooks.arrival import (
    LARGEST,
    Arrival,
    Refused,
    judge,
    refusal_before_body,
    sane_guid,
)

SECRETS = ["first secret", "second secret"]
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
PAYLOAD: dict[str, Any] = {
    "action": "opened",
    "installation": {"id": 11, "node_id": "x"},
    "repository": {"id": 22, "owner": {"id": 33}},
    "organization": {"id": 44},
}


def sign(body: bytes, secret: str = SECRETS[0]) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(body: bytes, **changed: str | None) -> dict[str, str]:
    """GitHub's headers of a body; None leaves one out."""
    usual: dict[str, str | None] = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": GUID,
        "X-GitHub-Hook-ID": "5",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-GitHub-Hook-Installation-Target-ID": "6",
        "X-Hub-Signature-256": sign(body),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return {name: value for name, value in usual.items() if value is not None}


def arrived(payload: Any = PAYLOAD, **changed: str | None) -> Arrival:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    judged = judge(headers(body, **changed), body, SECRETS)
    assert isinstance(judged, Arrival), judged
    return judged


def refused(body: bytes = b"{}", **changed: str | None) -> tuple[int, str]:
    judged = judge(headers(body, **changed), body, SECRETS)
    assert isinstance(judged, Refused), judged
    assert judged.sentence.endswith(".")
    return judged.status, judged.reason


@pytest.mark.spec("R6.1")
def test_a_delivery_becomes_the_row_that_it_is() -> None:
    body = json.dumps(PAYLOAD).encode()
    arrival = arrived(body)
    assert zlib.decompress(arrival.payload) == body
    assert arrival == Arrival(
        guid=GUID,
        hook_id=5,
        target_type="integration",
        target_id=6,
        event="issues",
        action="opened",
        installation_github_id=11,
        account_id=33,
        repository_github_id=22,
        payload=arrival.payload,
        payload_bytes=len(body),
    )
    assert arrival.key == (GUID, 5)


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize("secret", SECRETS)
def test_two_secrets_are_valid_while_one_is_replaced(secret: str) -> None:
    body = json.dumps(PAYLOAD).encode()
    assert arrived(body, X_Hub_Signature_256=sign(body, secret)).guid == GUID


def test_names_of_headers_may_have_any_case() -> None:
    body = b"{}"
    shouted = {name.upper(): value for name, value in headers(body).items()}
    assert isinstance(judge(shouted, body, SECRETS), Arrival)


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("sha256=", "signature_malformed"),
        ("sha256=" + "0" * 63, "signature_malformed"),
        ("sha256=" + "0" * 65, "signature_malformed"),
        ("sha256=" + "g" * 64, "signature_malformed"),
        ("sha1=" + "0" * 40, "signature_malformed"),
        ("sha256=" + "ä" * 64, "signature_malformed"),
        ("sha256=" + "٣" * 64, "signature_malformed"),
        ("0" * 64, "signature_malformed"),
        ("sha256=" + "0" * 64, "signature_wrong"),
        (sign(b"{} "), "signature_wrong"),
        (sign(b"{}", "another secret"), "signature_wrong"),
        (sign(b"{}", ""), "signature_wrong"),
    ],
)
def test_a_bad_signature_is_refused_as_such(signature: str | None, reason: str) -> None:
    assert refused(X_Hub_Signature_256=signature) == (401, reason)


@pytest.mark.spec("R6.1")
def test_sha1_alone_is_no_signature() -> None:
    sha1 = "sha1=" + hmac.new(SECRETS[0].encode(), b"{}", hashlib.sha1).hexdigest()
    assert refused(X_Hub_Signature_256=None, X_Hub_Signature=sha1) == (401, "signature_missing")


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_is_accepted(secrets: list[str]) -> None:
    judged = judge(headers(b"{}", X_Hub_Signature_256=sign(b"{}", "")), b"{}", secrets)
    assert isinstance(judged, Refused)
    assert (judged.status, judged.reason) == (401, "no_secret")
    assert "GITHUB_WEBHOOK_SECRET" in judged.sentence


@pytest.mark.spec("R6.1")
def test_25_mb_are_accepted_and_one_byte_more_is_not() -> None:
    largest = b'{"a":"' + b"x" * (LARGEST - 8) + b'"}'
    assert len(largest) == 25 * 1024 * 1024
    assert arrived(largest).payload_bytes == LARGEST
    assert refused(largest + b" ") == (413, "too_large")


def test_what_cannot_be_accepted_is_refused_before_its_body_is_read() -> None:
    good = {name.lower(): value for name, value in headers(b"{}").items()}
    unsigned = {name: value for name, value in good.items() if "signature" not in name}
    assert refusal_before_body(good, LARGEST, SECRETS) is None
    assert refusal_before_body(good, None, SECRETS) is None
    for given_headers, length, secrets, status in (
        (good, LARGEST + 1, SECRETS, 413),
        (unsigned, LARGEST + 1, SECRETS, 413),
        (unsigned, 2, SECRETS, 401),
        (good, 2, [], 401),
    ):
        found = refusal_before_body(given_headers, length, secrets)
        assert found is not None
        assert found.status == status


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", " application/json "]
)
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    assert arrived(Content_Type=content_type).event == "issues"


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data", "json"])
def test_other_content_types_are_malformed(content_type: str | None) -> None:
    assert refused(Content_Type=content_type) == (400, "content_type")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.spec("R6.1")
def test_a_form_is_signed_as_it_came_and_kept_as_json() -> None:
    text = json.dumps({**PAYLOAD, "note": "ä + % & ="}, ensure_ascii=False)
    arrival = arrived(urlencode({"payload": text}).encode(), Content_Type=FORM)
    assert zlib.decompress(arrival.payload).decode() == text
    assert arrival.payload_bytes == len(text.encode())
    assert arrival.repository_github_id == 22


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"other=%7B%7D", b"payload=%7B%7D&payload=%7B%7D",
        b"&".join(b"a%d=1" % n for n in range(99)) + b"&payload=%7B%7D",
    ],
)  # fmt: skip
def test_a_form_without_one_payload_is_malformed(body: bytes) -> None:
    assert refused(body, Content_Type=FORM) == (400, "form")


@pytest.mark.parametrize("body", [b"payload=", b"payload=%7B", b"payload=[]"])
def test_a_form_whose_payload_is_no_object_is_malformed(body: bytes) -> None:
    assert refused(body, Content_Type=FORM) == (400, "json")


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a":', b"[]", b"null", b"1", b'"{}"', b"\xff\xfe", b"{'a':1}", b"\x00",
        b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    assert refused(body) == (400, "json")


@pytest.mark.parametrize("event", [None, "", "a" * 65, "iss ues", "issues\x00", "ä", "a\n", "٣"])
def test_an_event_without_a_sane_name_is_malformed(event: str | None) -> None:
    assert refused(X_GitHub_Event=event) == (400, "event")


@pytest.mark.parametrize("guid", [None, "", "a" * 65, "a b", GUID + "\n", "\x00", "é"])
def test_a_delivery_without_a_sane_guid_is_malformed(guid: str | None) -> None:
    assert refused(X_GitHub_Delivery=guid) == (400, "guid")
    assert sane_guid({"x-github-delivery": guid or ""}) is None


@pytest.mark.parametrize(
    ("value", "hook_id"), [(None, 0), ("", 0), ("x", 0), ("-1", 0), ("9" * 19, 0), ("12", 12)]
)
def test_a_hook_that_is_not_named_is_number_0(value: str | None, hook_id: int) -> None:
    assert arrived(X_GitHub_Hook_ID=value).hook_id == hook_id


def test_an_odd_target_is_left_out() -> None:
    arrival = arrived(
        X_GitHub_Hook_Installation_Target_Type="x" * 40, X_GitHub_Hook_Installation_Target_ID="٣"
    )
    assert (arrival.target_type, arrival.target_id) == ("", None)


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize("odd", [None, True, 0, -1, 2**63, 1.5, "1", [], {}, [1], {"id": "1"}])
def test_known_fields_of_a_wrong_type_are_left_out_and_the_delivery_is_kept(odd: Any) -> None:
    everywhere = {"action": odd, "installation": odd, "repository": odd, "organization": odd}
    arrival = arrived(everywhere)
    assert arrival.action == ("1" if odd == "1" else "")
    assert arrival.installation_github_id is None
    assert arrival.account_id is None
    assert arrival.repository_github_id is None
    inside = {
        "installation": {"id": odd, "account": odd},
        "repository": {"id": odd, "owner": odd},
        "organization": {"id": 44},
    }
    assert arrived(inside).account_id == 44


@pytest.mark.parametrize(
    ("payload", "account"),
    [
        ({"installation": {"id": 1, "account": {"id": 9}}, "sender": {"id": 3}}, 9),
        ({"installation": {"id": 1}, "repository": {"id": 2, "owner": {"id": 9}}}, 9),
        ({"installation": {"id": 1}, "organization": {"id": 9}}, 9),
        ({"installation": {"id": 1}, "account": {"id": 9}}, 9),
        ({"zen": "Keep it logically awesome.", "sender": {"id": 3}}, None),
    ],
)
def test_the_account_is_found_where_each_kind_of_event_names_it(
    payload: dict[str, Any], account: int | None
) -> None:
    assert arrived(payload).account_id == account


@pytest.mark.parametrize(
    ("action", "kept"),
    [("a\x00b", "a\ufffdb"), ("\ud800", "\ufffd"), ("a" * 64, "a" * 64), ("a" * 65, "")],
)
def test_an_action_that_no_column_holds_is_mended_or_left_out(action: str, kept: str) -> None:
    assert arrived(json.dumps({"action": action}).encode()).action == kept


NAMES = st.sampled_from([*headers(b""), "X-Hub-Signature", "Host", ""])


@pytest.mark.spec("R6.1")
@given(body=st.binary(max_size=200), spoiled=st.dictionaries(NAMES, st.text(max_size=80)))
def test_nothing_that_comes_raises(body: bytes, spoiled: dict[str, str]) -> None:
    for given_headers in (spoiled, headers(body) | spoiled):
        judged = judge(given_headers, body, SECRETS)
        if isinstance(judged, Refused):
            assert judged.status in (400, 401, 413)


@pytest.mark.spec("R6.1")
@given(
    body=st.binary(max_size=60) | st.just(json.dumps(PAYLOAD).encode()),
    signature=st.text(max_size=80)
    | st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda text: f"sha256={text}"),
)
def test_without_the_right_signature_there_is_never_a_delivery(body: bytes, signature: str) -> None:
    judged = judge(headers(body) | {"X-Hub-Signature-256": signature}, body, SECRETS)
    right = {sign(body, secret) for secret in SECRETS}
    assert isinstance(judged, Refused) or signature.strip() in right
    if signature.strip() not in right:
        assert isinstance(judged, Refused)
        assert judged.status == 401


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "account", "owner", "installation", "repository", "action"]),
                inner,
            )
        ),
        max_leaves=12,
    ).map(lambda value: {"installation": value, "repository": value, "action": value})
)
def test_any_signed_object_is_a_delivery_that_the_table_can_hold(payload: dict[str, Any]) -> None:
    arrival = arrived(payload)
    assert len(arrival.action) <= 64
    assert "\x00" not in arrival.action
    for number in (
        arrival.installation_github_id,
        arrival.account_id,
        arrival.repository_github_id,
    ):
        assert number is None or 0 < number < 2**63
