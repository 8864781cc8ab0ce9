"""GitHub's JSON becomes rows; what is broken is put aside, never fatal."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github.payloads import (
    ROW_FIELDS,
    InvalidRecord,
    MalformedBody,
    ParsedPage,
    RepositoryRow,
    parse_account,
    parse_installation,
    parse_list,
    parse_object,
    parse_repositories,
    parse_repository,
)
from syncsvc.github.rows import ROWS_VERSION, UnreadableRows, dump_rows, load_rows
from syncsvc.github.values import clean_text, parse_time
from tests.github_support import repository

OPTIONAL = frozenset(ROW_FIELDS) - {"github_id", "name", "owner", "absent"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# -- repositories ----------------------------------------------------------------------------------


@pytest.mark.spec("R5.1")
def test_a_full_repository_gives_every_field() -> None:
    row = parse_repository(repository(5, homepage="https://octo.example"))
    assert row == RepositoryRow(
        github_id=5,
        node_id="R_5",
        owner="octo",
        owner_id=7,
        name="repo-5",
        description="An example",
        visibility="public",
        archived=False,
        disabled=False,
        fork=False,
        default_branch="main",
        language="Python",
        topics=("a", "b"),
        stars=3,
        forks=2,
        open_issues=1,
        size=108,
        homepage="https://octo.example",
        license="MIT",
        github_created_at=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        github_updated_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        pushed_at=datetime(2024, 1, 2, 3, 4, 6, tzinfo=UTC),
    )
    assert row.full_name == "octo/repo-5"
    assert row.absent == frozenset()


def test_rows_are_frozen_values() -> None:
    row = parse_repository(repository(1))
    assert type(row) is RepositoryRow
    assert hash(row) == hash(parse_repository(repository(1)))
    with pytest.raises(AttributeError):
        row.name = "other"  # type: ignore[misc]
    assert not hasattr(row, "__dict__")


@pytest.mark.spec("R5.1")
def test_fields_that_did_not_come_are_named_absent() -> None:
    row = parse_repository({"id": 1, "name": "a", "full_name": "octo/a"})
    assert (row.owner, row.name) == ("octo", "a")
    assert row.absent == OPTIONAL


def test_null_is_a_value_where_github_allows_it() -> None:
    nullable = dict.fromkeys(("description", "language", "homepage", "license", "pushed_at"))
    row = parse_repository(repository(1, **nullable))
    assert (row.description, row.language, row.license, row.pushed_at) == (None,) * 4
    assert row.absent == frozenset()


@pytest.mark.parametrize(
    ("field", "value", "absent"),
    [
        ("archived", None, "archived"),
        ("archived", 1, "archived"),
        ("stargazers_count", "3", "stars"),
        ("stargazers_count", -1, "stars"),
        ("size", 2**31, "size"),
        ("size", True, "size"),
        ("topics", None, "topics"),
        ("topics", ["a", 1], "topics"),
        ("description", 7, "description"),
        ("license", "MIT", "license"),
        ("license", {}, "license"),
        ("created_at", "yesterday", "github_created_at"),
        ("pushed_at", True, "pushed_at"),
        ("node_id", 5, "node_id"),
    ],
)
def test_a_wrong_type_in_an_optional_field_counts_as_absent(
    field: str, value: Any, absent: str
) -> None:
    assert parse_repository(repository(1, **{field: value})).absent == {absent}


@pytest.mark.parametrize(
    ("changes", "visibility", "absent"),
    [
        ({"visibility": "internal", "private": True}, "internal", set()),
        ({"visibility": "secret", "private": True}, "private", set()),
        ({"visibility": None, "private": False}, "public", set()),
        ({"visibility": [], "private": None}, "private", {"visibility"}),
    ],
)
def test_an_unknown_visibility_is_derived_from_private(
    changes: dict[str, Any], visibility: str, absent: set[str]
) -> None:
    row = parse_repository(repository(1, **changes))
    assert row.visibility == visibility
    assert row.absent == absent


def test_short_names_of_counts_help_out() -> None:
    item = repository(1, forks=9, open_issues=8)
    del item["forks_count"], item["open_issues_count"]
    row = parse_repository(item)
    assert (row.forks, row.open_issues, row.absent) == (9, 8, frozenset())


def test_a_license_without_spdx_id_falls_back_to_its_key() -> None:
    assert parse_repository(repository(1, license={"key": "other"})).license == "other"


@pytest.mark.spec("P32")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", "1"),
        ("id", 1.0),
        ("id", True),
        ("id", 0),
        ("id", 2**63),
        ("name", ""),
        ("name", None),
        ("name", 5),
    ],
)
def test_a_required_field_that_is_wrong_makes_the_record_invalid(field: str, value: Any) -> None:
    with pytest.raises(InvalidRecord) as caught:
        parse_repository(repository(1) | {field: value})
    assert caught.value.field == field


def test_without_any_owner_the_record_is_invalid() -> None:
    item = repository(1) | {"owner": None, "full_name": "nameless"}
    with pytest.raises(InvalidRecord, match="owner"):
        parse_repository(item)


def test_an_invalid_records_text_shows_nothing_of_its_content() -> None:
    with pytest.raises(InvalidRecord) as caught:
        parse_repository({"id": "x", "temp_clone_token": "hush"})
    assert "hush" not in str(caught.value)


@pytest.mark.spec("P30")
@given(json_values)
def test_any_json_is_a_row_or_an_invalid_record(value: Any) -> None:
    for parse in (parse_repository, parse_installation, parse_account):
        try:
            parse(value)
        except InvalidRecord:
            continue


@given(st.dictionaries(st.sampled_from([*repository(1), "private"]), json_values))
def test_any_value_in_an_optional_field_still_gives_a_storable_row(changes: dict[str, Any]) -> None:
    required = {"id", "name", "owner"}
    row = parse_repository(
        repository(1) | {name: value for name, value in changes.items() if name not in required}
    )
    assert row.visibility in {"public", "private", "internal"}
    assert all(0 <= n < 2**31 for n in (row.stars, row.forks, row.open_issues, row.size))
    for text in (row.description or "", row.homepage or "", *row.topics):
        text.encode()
        assert "\0" not in text


# -- texts and times -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [("a\0b", "a�b"), ("ä\0", "ä�"), ("x\ud83d", "x�"), ("😀", "😀"), ("y" * 5000, "y" * 5000)],
)
def test_text_that_cannot_be_stored_is_mended_not_cut(given: str, stored: str) -> None:
    assert clean_text(given) == stored


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.250Z", datetime(2024, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)),
        (1557933565, datetime(2019, 5, 15, 15, 19, 25, tzinfo=UTC)),
        (1557933565000, datetime(2019, 5, 15, 15, 19, 25, tzinfo=UTC)),
        ("2024-01-02T03:04:05", None),
        ("0000-01-02T03:04:05Z", None),
        ("10000-01-02T03:04:05Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        (10**30, None),
        (1.5, None),
        (True, None),
        ("", None),
    ],
)
def test_times_are_read_as_utc_or_not_at_all(value: Any, moment: datetime | None) -> None:
    assert parse_time(value) == moment


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),
        timezones=st.integers(-720, 840).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_any_moment_survives(moment: datetime) -> None:
    parsed = parse_time(moment.isoformat())
    assert parsed is None or parsed == moment
    assert parsed is None or parsed.tzinfo is UTC


# -- pages -----------------------------------------------------------------------------------------


def page_of(*items: Any, **more: Any) -> bytes:
    return json.dumps({"total_count": len(items), "repositories": items, **more}).encode()


def test_both_shapes_of_a_list_are_read() -> None:
    wrapped = parse_repositories(page_of(repository(1), repository_selection="selected"))
    bare = parse_repositories(json.dumps([repository(1)]).encode())
    assert wrapped.rows == bare.rows
    assert (wrapped.total_count, wrapped.repository_selection) == (1, "selected")
    assert (bare.total_count, bare.repository_selection) == (None, None)


@pytest.mark.spec("P30", "R10.5")
def test_one_bad_record_among_good_ones_is_put_aside() -> None:
    page = parse_repositories(
        page_of(repository(1), repository(2, name=None), "nonsense", repository(3))
    )
    assert [row.github_id for row in page.rows] == [1, 3]
    assert [(bad.index, bad.github_id, bad.field) for bad in page.bad] == [
        (1, 2, "name"),
        (2, None, ""),
    ]


@pytest.mark.spec("P30")
def test_one_lone_surrogate_does_not_cost_the_page() -> None:
    page = parse_repositories(page_of(repository(1, description="bad \ud83d"), repository(2)))
    assert [row.description for row in page.rows] == ["bad �", "An example"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        page_of(repository(1))[:-10],
        b"{}",
        b"null",
        b'{"repositories": 3}',
        b'"text"',
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_a_body_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_repositories(body)


@given(st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_page_or_malformed(body: bytes) -> None:
    for parse in (parse_repositories, parse_list, parse_object):
        try:
            parse(body)
        except MalformedBody:
            continue


@pytest.mark.parametrize("total", [True, -1, "5", None, 1.5])
def test_a_senseless_total_is_no_total(total: Any) -> None:
    assert parse_repositories(page_of(total_count=total)).total_count is None


# -- stored pages ----------------------------------------------------------------------------------


@pytest.mark.spec("R4.3")
def test_a_page_comes_back_equal_from_the_store() -> None:
    page = parse_repositories(
        page_of(
            repository(1, created_at="2020-01-02T03:04:05.125+02:00", description="ä😀"),
            repository(2, pushed_at=None, archived=None),
            repository(3, name=None),
            {"id": 4, "name": "d", "full_name": "octo/d"},
            repository_selection="all",
        )
    )
    loaded = load_rows(dump_rows(page))
    assert loaded == page
    assert [row.absent for row in loaded.rows] == [row.absent for row in page.rows]
    assert load_rows(dump_rows(ParsedPage(rows=()))) == ParsedPage(rows=())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        orjson.dumps([ROWS_VERSION + 1, None, None, [], []]),
        orjson.dumps([ROWS_VERSION, None, None, [], [[1, 2]]]),
        orjson.dumps([ROWS_VERSION, None, None, [], [[None] * len(ROW_FIELDS)]]),
        orjson.dumps([ROWS_VERSION, None, None, [[1]], []]),
        orjson.dumps([ROWS_VERSION, None, None, None, []]),
    ],
)
def test_stored_bytes_of_another_version_or_damaged_are_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableRows):
        load_rows(payload)


# -- installations and accounts --------------------------------------------------------------------


def installation(**changes: Any) -> dict[str, Any]:
    return {
        "id": 11,
        "app_id": 3,
        "account": {"id": 7, "login": "octo", "type": "Organization"},
        "repository_selection": "selected",
        "permissions": {"metadata": "read", "odd": 5},
        "events": ["push"],
        "created_at": 1557933591,
        "updated_at": "2024-01-02T03:04:05Z",
        "suspended_at": None,
        **changes,
    }


@pytest.mark.spec("R2.1")
def test_an_installation_is_read_from_the_api_and_from_webhooks() -> None:
    row = parse_installation(installation())
    assert (row.github_id, row.account_id, row.account_login, row.account_type) == (
        11,
        7,
        "octo",
        "Organization",
    )
    assert row.permissions == {"metadata": "read"}
    assert row.created_at == datetime(2019, 5, 15, 15, 19, 51, tzinfo=UTC)
    assert row.suspended_at is None


@pytest.mark.spec("R2.3")
def test_a_suspended_installation_says_since_when() -> None:
    row = parse_installation(installation(suspended_at="2024-01-02T03:04:05Z"))
    assert row.suspended_at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_an_enterprises_slug_is_its_login() -> None:
    row = parse_installation(
        installation(account={"id": 9, "slug": "acme"}, target_type="Enterprise")
    )
    assert (row.account_login, row.account_type) == ("acme", "Enterprise")


@pytest.mark.parametrize(
    "changes", [{"account": None}, {"account": {"id": 1}}, {"account": {"login": "x"}}, {"id": 0}]
)
def test_an_installation_without_its_account_is_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        parse_installation(installation(**changes))


def test_an_account_is_a_user_unless_it_says_otherwise() -> None:
    assert parse_account({"id": 1, "login": "octo"}).type == "User"
    assert parse_account({"id": 1, "login": "o", "type": "Organization"}).type == "Organization"
