"""Every event once, whatever order transactions end in and wherever a browser is cut off."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.live import frames
from syncsvc.live.cursor import MOST_HOLES, Cursor, advance, begin, missed, parse

pytestmark = pytest.mark.spec("R18.4")


@dataclass(frozen=True)
class Event:
    number: int


def events(*numbers: int) -> list[Event]:
    return [Event(number) for number in numbers]


def test_an_id_that_was_skipped_is_a_hole_until_it_appears() -> None:
    cursor = Cursor(6).take(8)
    assert str(cursor) == "8-7"
    assert not cursor.has_seen(7)
    assert cursor.has_seen(8)
    assert str(cursor.take(7)) == "8"


def test_holes_are_forgotten_when_there_are_too_many() -> None:
    cursor = Cursor(1).take(1_000)
    assert len(cursor.holes) == MOST_HOLES
    assert cursor.holes[-1] == 999
    again = cursor.take(1_002)
    assert (len(again.holes), again.holes[-1]) == (MOST_HOLES, 1_001)


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "x", "-1", "8-", "8--7", "8-9", "8-8", "8-7-7", "8-7-6", "1e3", "8 7", "٨", "8\n7", "NaN",
        "9" * 19, "1" + "-0" * 101, "8-7;DROP TABLE", "\x00", "9" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_cursor_of_ours_begins_anew(text: str | None) -> None:
    assert parse(text) is None


@given(st.integers(0, 10**15), st.sets(st.integers(1, 200), max_size=20))
def test_a_cursor_comes_back_as_it_was_written(newest: int, below: set[int]) -> None:
    cursor = Cursor(newest, tuple(sorted(newest - each for each in below if newest >= each)))
    assert parse(f" {cursor} ") == cursor


@given(st.text(max_size=40))
def test_no_text_at_all_breaks_it(text: str) -> None:
    found = parse(text)
    assert found is None or parse(str(found)) == found


def test_it_begins_with_what_may_still_appear() -> None:
    assert begin([], 40) == Cursor(40)
    assert begin([12, 9, 10], 12) == Cursor(12, (11,))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[set[int]], list[int], set[int]]:
    """Ids in the order of drawing, committed in any other: what is new at each look, where the client is
    cut off (after how many frames of each look), and whose events are the client's."""
    count = draw(st.integers(1, 14))
    rolled_back = draw(st.sets(st.integers(1, count), max_size=3))
    numbers = [number for number in range(1, count + 1) if number not in rolled_back]
    looks = draw(st.integers(1, 8))
    # An id appears some looks after it was drawn, and ids are drawn in order.
    when = {number: draw(st.integers(0, looks - 1)) for number in numbers}
    fresh = [{number for number in numbers if when[number] == look} for look in range(looks)]
    cuts = [draw(st.integers(0, 5)) for _ in range(looks)]
    return fresh, cuts, draw(st.sets(st.sampled_from(numbers))) if numbers else set()


@given(histories(), st.booleans())
def test_who_resumes_gets_each_event_once(
    history: tuple[list[set[int]], list[int], set[int]], marks: bool
) -> None:
    """P: for any interleaving of commits and any points of disconnection (R18.4)."""
    fresh, cuts, mine = history
    told, committed = Cursor(), set[int]()
    client: Cursor | None = Cursor()
    received: list[int] = []
    connected = True
    for new, soon, cut in zip(fresh, [*fresh[1:], set()], cuts, strict=True):
        committed |= new
        visible = events(*sorted(committed))
        said = []
        for at, event in advance(told, visible):
            told = at
            said.append((str(at), event))
        if not connected:
            # It comes back after everybody else was told: to it, that is what it missed.
            # And it is looked up a little later, when more may be there, which all get together.
            assert client is not None
            there = events(*sorted(committed | soon))
            since = [row for row in there if not client.has_seen(row.number)]
            said = [(str(at), row) for at, row in missed(client, told, since)]
        wanted = [(mark, row) for mark, row in said if row.number in mine]
        delivered = wanted[:cut]
        for mark, row in delivered:
            received.append(row.number)
            client = parse(mark)
        connected = len(delivered) == len(wanted) and cut != 5
        if connected and marks:
            client = parse(str(told))  # a heartbeat, or the end of what it missed
    assert client is not None
    for _, row in missed(client, told, events(*sorted(committed))):
        if row.number in mine:
            received.append(row.number)
    assert sorted(received) == sorted(mine)


def test_two_processes_agree_wherever_a_client_comes_back() -> None:
    one = Cursor(8, (7,))  # told 8 before 7 was there
    _, row = next(missed(one, Cursor(9), events(7, 8, 9)))
    assert row.number == 7


def test_frames_are_what_browsers_read() -> None:
    assert frames.event(frames.body("sync:start", {"item": "a\nb"}), "8-7") == (
        b'id: 8-7\nevent: sync:start\ndata: {"item":"a\\nb"}\n\n'
    )
    assert frames.mark("8") == frames.event(b"", "8") == b"id: 8\n\n"
    assert frames.event(b"") == b""
    assert frames.retry(2_000) == b"retry: 2000\n\n"
    head = frames.head("200 OK", [("Content-Type", "text/event-stream"), ("Content-Length", "0")])
    assert head == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    )
