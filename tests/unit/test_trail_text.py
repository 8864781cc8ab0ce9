"""What the audit trail keeps of texts: no secrets, one category, nothing that PostgreSQL refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import trail_text
from reconciliation.models.trail import CATEGORIES
from reconciliation.trail import category_of

tokens = st.builds(
    lambda kind, rest: f"{kind}_{rest}",
    st.sampled_from(["ghs", "ghp", "gho", "github_pat"]),
    st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", min_size=16, max_size=40),
)


def raised(message: str) -> Exception:
    try:
        try:
            raise ValueError(message)
        except ValueError as cause:
            raise RuntimeError("It failed.") from cause
    except RuntimeError as error:
        return error


@pytest.mark.spec("P25", "R10.5")
@given(st.one_of(st.text(), st.sampled_from([*CATEGORIES, "", "timeout", "Network", "server"])))
def test_every_error_has_exactly_one_category(name: str) -> None:
    assert [each for each in CATEGORIES if each == category_of(name)] == [
        name if name in CATEGORIES else "unknown"
    ]


@pytest.mark.spec("R11.3", "P8")
@given(tokens, st.text(max_size=20), st.integers(min_value=0, max_value=9000))
def test_no_token_survives_in_a_message_or_a_stack_however_long(
    token: str, before: str, padding: int
) -> None:
    message = f"{before} {'x' * padding} token {token} was refused"
    error = raised(message)
    for text in (trail_text.shown(message), trail_text.trace(error)):
        assert token not in text
        text.encode()
        assert "\x00" not in text
    assert len(trail_text.trace(error)) <= trail_text.TRACE_SHOWN
    assert len(trail_text.shown(message)) <= trail_text.SHOWN


@pytest.mark.spec("P8")
def test_an_error_without_an_exception_keeps_the_stack_of_who_noticed_it() -> None:
    def noticed() -> str:
        return trail_text.trace(None)

    def error() -> str:
        return noticed()

    assert "in test_an_error_without_an_exception" in error()
    assert "RuntimeError: It failed." in trail_text.trace(raised("secret=hunter2"))
    assert "hunter2" not in trail_text.trace(raised("secret=hunter2"))


@pytest.mark.spec("P7")
@given(
    st.lists(
        st.lists(st.integers(min_value=1) | st.text("0123456789abcdef", min_size=40)), max_size=5
    )
)
def test_ids_and_shas_travel_as_plain_text(groups: list[list[int | str]]) -> None:
    keys = [[str(key) for key in group] for group in groups if group]
    text = trail_text.lines(keys)
    if keys:
        assert text is not None
        assert [line.split(",") for line in text.split("\n")] == keys


@pytest.mark.spec("P7")
@pytest.mark.parametrize("key", ["record 3", "a,b", "a\nb", "", '"', "\\", "ü", "\x00"])
def test_what_is_neither_an_id_nor_a_sha_is_not_taken_for_one(key: str) -> None:
    assert trail_text.lines([["7", key], ["8"]]) is None
    assert trail_text.lines([[key]]) is None


@pytest.mark.spec("P7")
@given(
    st.lists(
        st.integers(min_value=1, max_value=10**12) | st.just("a" * 40), min_size=1, max_size=500
    )
)
def test_no_key_is_lost_between_two_rows(keys: list[int | str]) -> None:
    texts = [str(key) for key in keys]
    parts = trail_text.parts(texts)
    assert [key for part in parts for key in part] == texts
    assert all(parts)
