"""GitHub's HTTP rules, as pure functions."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github import errors
from syncsvc.github.protocol import (
    Links,
    classify,
    graphql_url,
    origin,
    page_number,
    parse_links,
    parse_rate_limit,
    parse_retry_after,
    redact,
    same_host_url,
    verify_signature,
)
from tests.github_support import API, START, limit_headers


def said(message: str, **more: Any) -> bytes:
    return orjson.dumps({"message": message, "documentation_url": "https://docs/", **more})


# -- rate limits -----------------------------------------------------------------------------------


@pytest.mark.spec("R4.2")
@pytest.mark.parametrize("unit", [1, 1000])
def test_a_reset_is_read_in_seconds_and_in_milliseconds(unit: int) -> None:
    reset = START + timedelta(minutes=20)
    headers = limit_headers(12) | {"X-RateLimit-Reset": str(int(reset.timestamp()) * unit)}
    limit = parse_rate_limit(headers, START)
    assert limit is not None
    assert (limit.remaining, limit.used, limit.reset_at) == (12, 4988, reset)


@pytest.mark.spec("R4.2")
def test_a_clock_that_is_wrong_does_not_move_the_reset() -> None:
    theirs = START + timedelta(minutes=7)
    headers = limit_headers(reset=theirs + timedelta(minutes=10))
    limit = parse_rate_limit(headers | {"Date": format_datetime(theirs, usegmt=True)}, START)
    assert limit is not None
    assert limit.reset_at == START + timedelta(minutes=10)


@pytest.mark.parametrize(
    "change",
    [
        {"X-RateLimit-Limit": ""},
        {"X-RateLimit-Remaining": "-1"},
        {"X-RateLimit-Remaining": "many"},
        {"X-RateLimit-Reset": "9" * 18},
        {"X-RateLimit-Reset": "9" * 40},
        {"X-RateLimit-Limit": "²"},
    ],
)
def test_senseless_budget_headers_are_no_budget(change: dict[str, str]) -> None:
    assert parse_rate_limit(limit_headers() | change, START) is None


def test_a_missing_resource_is_the_core_and_missing_used_is_computed() -> None:
    headers = limit_headers(40, limit=60)
    del headers["X-RateLimit-Resource"], headers["X-RateLimit-Used"]
    limit = parse_rate_limit(headers, START)
    assert limit is not None
    assert (limit.resource, limit.used) == ("core", 20)


@given(st.dictionaries(st.sampled_from([*limit_headers(), "Date", "Retry-After"]), st.text()))
def test_no_header_can_break_the_reading_of_limits(headers: dict[str, str]) -> None:
    parse_rate_limit(headers, START)
    parse_retry_after(headers, START)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        (format_datetime(START + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(START - timedelta(seconds=90), usegmt=True), 0),
        ("99999999", 86400),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after({"Retry-After": text}, START) == seconds


# -- what an answer means --------------------------------------------------------------------------


@pytest.mark.spec("R4.1")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 304, 307])
def test_usable_answers_are_no_errors(status: int) -> None:
    assert classify(status, {}, b"", START) is None


VERDICTS: list[tuple[int, dict[str, str], bytes, type[errors.GitHubError]]] = [
    (401, {}, said("Bad credentials"), errors.AuthenticationFailed),
    (403, {}, said("Resource not accessible by integration"), errors.Forbidden),
    (403, {}, b"<html>", errors.Forbidden),
    (403, {}, said("This installation has been suspended"), errors.Suspended),
    (
        403,
        limit_headers(0),
        said("This installation has been suspended"),
        errors.Suspended,
    ),
    (403, {}, said("Repository access blocked", block={"reason": "tos"}), errors.LegallyBlocked),
    (403, limit_headers(0), said("API rate limit exceeded"), errors.RateLimited),
    (403, {"Retry-After": "60"}, said("whatever"), errors.RateLimited),
    (403, {}, said("You have exceeded a secondary rate limit."), errors.RateLimited),
    (403, {}, said("You have triggered an abuse detection mechanism"), errors.RateLimited),
    (429, {}, b"", errors.RateLimited),
    (404, {}, said("Not Found"), errors.NotFound),
    (410, {}, said("This issue was deleted"), errors.Gone),
    (410, {}, said("The API version you asked for is no longer supported"), errors.VersionRetired),
    (400, {}, said("X-GitHub-Api-Version is not supported"), errors.VersionRetired),
    (451, {}, said("Repository access blocked"), errors.LegallyBlocked),
    (422, {}, said("Validation Failed"), errors.ValidationFailed),
    (400, {}, said("Problems parsing JSON"), errors.ValidationFailed),
    (500, {}, b"", errors.ServerError),
    (502, {}, b"<html>", errors.ServerError),
]


@pytest.mark.spec("R4.1", "R10.5", "P25")
@pytest.mark.parametrize(("status", "headers", "body", "kind"), VERDICTS)
def test_every_refusal_gets_its_own_type(
    status: int, headers: dict[str, str], body: bytes, kind: type[errors.GitHubError]
) -> None:
    error = classify(status, headers, body, START)
    assert type(error) is kind
    assert error.status == status
    assert error.sentence.endswith(".")
    assert str(error) == error.sentence


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(("status", "headers", "body", "kind"), VERDICTS)
def test_only_a_plain_404_or_410_is_evidence_of_absence(
    status: int, headers: dict[str, str], body: bytes, kind: type[errors.GitHubError]
) -> None:
    error = classify(status, headers, body, START)
    assert error is not None
    assert error.is_evidence_of_absence == (kind in {errors.NotFound, errors.Gone})


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (410, {}, b""),
        (410, {}, said("Issues are disabled for this repo")),
        (404, {"Content-Type": "text/html"}, b"<html>no such page</html>"),
    ],
)
def test_a_stranger_or_a_switched_off_feature_is_no_evidence(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    error = classify(status, headers, body, START)
    assert error is not None
    assert not error.is_evidence_of_absence


@pytest.mark.spec("R4.2")
def test_waiting_follows_retry_after_then_the_reset_then_a_minute() -> None:
    exhausted = limit_headers(0, reset=START + timedelta(minutes=30))
    body = said("API rate limit exceeded")

    def limited(status: int, headers: dict[str, str]) -> errors.RateLimited:
        error = classify(status, headers, body, START)
        assert isinstance(error, errors.RateLimited)
        return error

    assert limited(403, exhausted | {"Retry-After": "5"}).until == START + timedelta(seconds=5)
    assert limited(403, exhausted).until == START + timedelta(minutes=30)
    assert not limited(429, exhausted).secondary
    guess = limited(429, limit_headers(100))
    assert guess.until == START + timedelta(seconds=60)
    assert (guess.secondary, guess.hinted) == (True, False)


@given(st.integers(100, 599), st.binary(max_size=200), st.dictionaries(st.text(), st.text()))
def test_no_answer_breaks_the_verdict(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = classify(status, headers, body, START)
    assert (error is None) == (200 <= status < 400)


def test_what_github_says_is_kept_for_logs_without_secrets() -> None:
    error = classify(422, {}, said("bad ghp_0123456789abcdef"), START)
    assert error is not None
    assert "ghp_" not in error.detail
    assert "bad" in error.detail


# -- links -----------------------------------------------------------------------------------------


def test_links_lead_to_the_next_and_the_last_page() -> None:
    links = parse_links(
        f'<{API}/repositories/1/issues?page=2&per_page=3>; rel="next", '
        f'<{API}/repositories/1/issues?page=5&per_page=3>; rel="last"',
        API,
    )
    assert page_number(links.next) == 2
    assert links.last_page == 5
    assert links.cursor is None


def test_links_with_a_cursor() -> None:
    links = parse_links(f'<{API}/app/hook/deliveries?cursor=v1_17>; rel="next"', API)
    assert links.cursor == "v1_17"
    assert links.last_page is None


@pytest.mark.spec("R4.5")
@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/page",
        "http://api.github.com/page",
        "https://api.github.com:8443/page",
        "https://api.github.com.evil.example/",
        "https://api.github.com@evil.example/",
        "https://user:pass@api.github.com/",
        "https://api.github.com\\@evil.example/",
        "//evil.example/",
        "https://[::1/",
        "javascript:alert(1)",
        "https://api.github.com:99999/",
        "",
    ],
)
def test_credentials_never_follow_a_link_to_another_host(address: str) -> None:
    assert same_host_url(API, address) is None
    assert parse_links(f'<{address}>; rel="next"', API) == Links()


@pytest.mark.parametrize(
    "address", ["/repositories/1", f"{API}/x", "https://API.github.com:443/x", "?page=2"]
)
def test_addresses_on_the_same_host_are_followed(address: str) -> None:
    url = same_host_url(f"{API}/a", address)
    assert url is not None
    assert origin(url) == ("https", "api.github.com", 443)


@given(st.text(alphabet='<>;,="rel next/https:.?&[]@\\', max_size=80) | st.text())
def test_links_of_any_text_stay_on_the_host(header: str) -> None:
    links = parse_links(header, API)
    for url in (links.next, links.last, links.prev, links.first):
        assert url is None or origin(url) == origin(API)
    assert links.cursor is None or isinstance(links.cursor, str)


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_links_that_github_writes_are_read_back(next_page: int, last_page: int) -> None:
    header = f'<{API}/x?page={next_page}>; rel="next", <{API}/x?page={last_page}>; rel="last"'
    links = parse_links(header, API)
    assert (page_number(links.next), links.last_page) == (next_page, last_page)


@pytest.mark.spec("R2.2")
@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://api.github.com/", "https://api.github.com/graphql"),
        ("https://ghe.example/api/v3", "https://ghe.example/api/graphql"),
        ("https://ghe.example/api/v3/", "https://ghe.example/api/graphql"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123/graphql"),
        ("https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql"),
    ],
)
def test_the_graphql_address_belongs_to_the_rest_root(api_url: str, expected: str) -> None:
    assert graphql_url(api_url) == expected


# -- webhooks --------------------------------------------------------------------------------------


def signed(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.spec("R6.1")
def test_githubs_own_example_signature_is_accepted() -> None:
    # GitHub: "Validating webhook deliveries", the values given there for testing.
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert verify_signature(b"Hello, World!", header, ["It's a Secret to Everybody"])


@pytest.mark.spec("R6.1")
def test_either_secret_is_accepted_while_one_is_replaced() -> None:
    for secret in ("old", "new"):
        assert verify_signature(b"{}", signed(b"{}", secret), ["new", "old"])


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (None, ["s"]),
        ("", ["s"]),
        ("sha256=", ["s"]),
        ("sha256=é", ["s"]),
        (signed(b"{}", "other"), ["s"]),
        (signed(b"{}", "s").upper(), ["s"]),
        (signed(b"{}", "s").removeprefix("sha256="), ["s"]),
        (signed(b"{}", ""), [""]),
        (signed(b"{}", "s"), []),
    ],
)
def test_everything_else_is_refused(header: str | None, secrets: list[str]) -> None:
    assert not verify_signature(b"{}", header, secrets)


# -- redaction -------------------------------------------------------------------------------------

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.spec("R11.3")
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("using ghs_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F"),
        (f"using ghs_123456_{JWT}.", "eyJ"),
        ("ghp_x", "ghp_x"),
        ("github_pat_11AAAAAA0abc_def", "11AAAAAA0"),
        ("gho_abc123", "abc123"),
        ("Authorization: Bearer abc.def", "abc"),
        ("authorization: token 0000000000000000000000000000000000000001", "00001"),
        ("{'Authorization': 'Bearer opaque'}", "opaque"),
        ('{"authorization":"Basic dXNlcjpwYXNz"}', "dXNlcjpw"),
        ("sent Bearer opaque-value", "opaque-value"),
        ("token 6b9f0a3c1d2e4f5a6b7c", "6b9f0a"),
        (f"jwt {JWT}", "eyJ"),
        (PEM, "MIIEow"),
        (PEM.replace("\n", "\\n"), "MIIEow"),
        (PEM[:40], "MIIE"),
        ("https://x/?access_token=abcdef&y=1", "abcdef"),
        ('{"client_secret": "s3cr3t"}', "s3cr3t"),
        ("https://user:hunter2@proxy.example:8080", "hunter2"),
    ],
)
def test_secrets_are_taken_out_of_any_text(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "The token was revoked.",
        "GET /repos/octo/hello-world 404",
        "a commit 6b9f0a3c1d2e4f5a6b7c8d9e0f1a2b3c4d5e6f70",
        "repository eyJustice",
    ],
)
def test_other_text_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_redaction_is_not_slowed_by_text_that_almost_matches() -> None:
    for almost in ("eyJ", "ghp_", "token ", "Bearer ", "-----BEGIN RSA PRIVATE KEY-----", "a.b:c"):
        redact(almost * 20_000)


@given(st.text())
def test_redaction_takes_any_text_and_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def test_epochs_without_a_zone_are_not_guessed() -> None:
    limit = parse_rate_limit(limit_headers(), datetime(2026, 3, 1, tzinfo=UTC))
    assert limit is not None
    assert limit.reset_at.tzinfo is UTC
