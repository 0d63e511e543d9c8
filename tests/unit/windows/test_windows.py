"""The layout's values and what is asked of it, without a server."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import Stream, Version
from windows.layout import (
    HOUR_MS,
    MINUTE_MS,
    Generation,
    Layout,
    pack_head,
    pack_version,
    unpack_head,
)
from windows.questions import Question, Unit, Window, commands, panes, spread, total

NOW_MS = 1_795_420_800_000 + 1_234_567
GENERATION = Generation(shards=3, partitions=4, horizon_ms=HOUR_MS)

VERSIONS = st.builds(Version, st.integers(0, 2**47), st.integers(0, 2**53), st.integers(0, 2**48 - 1))
HELD = st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=5).map(sorted)


@given(VERSIONS, HELD, st.text(max_size=300))
def test_a_head_reads_back(version: Version, held: list[int], parent: str) -> None:
    assert unpack_head(pack_head(version, held, parent)) == (version, tuple(held), parent)


@given(VERSIONS, VERSIONS)
def test_packed_versions_are_ordered_as_versions_are(one: Version, other: Version) -> None:
    assert (pack_version(one) < pack_version(other)) == (one < other)


def test_a_shard_has_one_tag_and_a_rebuild_another_prefix() -> None:
    first = Layout("test:", Stream.B, GENERATION)
    assert first.bases() == ["test:{b:00}", "test:{b:01}", "test:{b:02}"]
    second = Layout("", Stream.A, Generation(number=2, shards=1, partitions=1, horizon_ms=1))
    assert second.bases() == ["r2:{a:00}"]
    assert second.pattern == "r2:{a:[0-9][0-9]}:*"
    assert second.shard_of("anything") == 0


@given(st.integers(0, 3 * 24 * 60), st.integers(1, 3 * 24 * 60))
def test_panes_cover_a_window_once_and_nothing_else(start_min: int, length_min: int) -> None:
    start = NOW_MS // MINUTE_MS - 10_000 + start_min
    window = Window(start * MINUTE_MS, (start + length_min) * MINUTE_MS)
    covered = list(
        itertools.chain.from_iterable(
            range(int(pane[1:]) * 60, int(pane[1:]) * 60 + 60) if pane[0] == "h" else [int(pane[1:])]
            for pane in panes(window, NOW_MS)
        )
    )
    assert covered == list(range(start, start + length_min))


def test_a_week_is_few_panes() -> None:
    """An open window reaches a little into the future, for clocks that differ."""
    found = list(panes(Window(NOW_MS - 7 * 24 * HOUR_MS).aligned(), NOW_MS))
    assert len(found) < 300
    assert found[-1] == f"h{NOW_MS // HOUR_MS + 1}"


def test_a_window_is_widened_to_whole_minutes() -> None:
    assert Window(MINUTE_MS + 1, 3 * MINUTE_MS + 1).aligned() == Window(MINUTE_MS, 4 * MINUTE_MS)
    assert Window(MINUTE_MS, 2 * MINUTE_MS).aligned() == Window(MINUTE_MS, 2 * MINUTE_MS)
    assert Window(MINUTE_MS + 1).aligned() == Window(MINUTE_MS)


@given(st.integers(1, 500), st.integers(1, 90), st.booleans())
def test_steps_lie_side_by_side_and_make_up_the_window(length: int, step: int, is_open: bool) -> None:  # noqa: FBT001
    now_ms = 10_000 + length
    window = Window(10_000, None if is_open else 10_000 + length)
    steps = list(window.steps(step, now_ms))
    assert steps[0].start_ms == window.start_ms
    assert steps[-1].end_ms == window.end_ms
    assert all(one.end_ms == other.start_ms for one, other in itertools.pairwise(steps))


@pytest.mark.parametrize(
    ("question", "key", "arguments"),
    [
        (Question(Stream.B, Window(5)), "{b:00}:all", (5, "+inf")),
        (Question(Stream.B, Window(5, 9)), "{b:00}:all", (5, "(9")),
        (Question(Stream.B, Window(5), a_id="a:1"), "{b:00}:of:a:1", (5, "+inf")),
        (Question(Stream.B, Window(5), held="big@7"), "{b:00}:c:big@7", (5, "+inf")),
        (Question(Stream.B, Window(5), a_id="a", held="big@7"), "{b:00}:of_c:big@7:a", (5, "+inf")),
    ],
)
def test_items_are_one_zcount_per_shard(question: Question, key: str, arguments: tuple[object, ...]) -> None:
    sent = commands(Layout("", Stream.B, GENERATION), question, NOW_MS)
    assert len(sent) == 3
    assert tuple(sent[0]) == ("ZCOUNT", key, *arguments)
    assert total(question, [3, 0, 4]) == 7


def test_events_are_one_hmget_per_shard() -> None:
    question = Question(Stream.B, Window(0, 2 * HOUR_MS + 1), Unit.EVENTS)
    sent = commands(Layout("", Stream.B, GENERATION), question, NOW_MS)
    assert [tuple(one) for one in sent] == [("HMGET", f"{{b:0{n}}}:ev", "h0", "h1", "m120") for n in range(3)]
    assert total(question, [[b"3", None, b"1"], [None, None, None], [b"2", None, None]]) == 6


def test_replies_are_dealt_out_in_runs() -> None:
    assert list(spread([2, 0, 1], [1, 2, 3, 4])) == [[1, 2], [], [3]]
