"""Records packed into waves."""

import json
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import Stream
from twinstream.errors import CliError
from twinstream.sending.lines import Position, RawLine
from twinstream.sending.tally import Refusal
from twinstream.sending.waves import Outgoing, WaveSize, addressed, addressed_lines, lane_of, waves


def line(raw: bytes | None, number: int = 1) -> RawLine:
    return RawLine(Position(number, number * 10), raw)


def records(*ids: str, size: int = 10) -> Iterator[Outgoing]:
    for number, record_id in enumerate(ids, 1):
        yield Outgoing(Position(number, number), Stream.A, lane_of(record_id), record_id.encode().ljust(size))


@pytest.mark.parametrize(
    ("raw", "stream"),
    [
        (b'{"unique_identifier":"x"}', Stream.A),
        (b'{"unique_identifier":"x","Stream_A_unique_identifier":"p"}', Stream.B),
        (b'{"unique_identifier":"x","Stream_A_unique_identifier":null}', Stream.B),
        (b'{"unique_identifier":"x","text":"Stream_A_unique_identifier"}', Stream.A),
        (b'{"unique_identifier":1.5,"Stream_A_unique_identifier":"p"}', Stream.B),
        (b'{"Stream_A_unique_identifier":"p"', Stream.B),
        (b"\xff", Stream.A),
        (b"[" * 100_000, Stream.A),
        (b'{"x":' + b"[" * 100_000, Stream.A),
        (b'{"unique_identifier":"\\ud800"}', Stream.A),
    ],
)
def test_a_record_that_names_a_parent_is_a_b(raw: bytes, stream: Stream) -> None:
    """Whatever else is wrong with it: ingest will say what."""
    assert addressed(line(raw), None).stream is stream
    assert addressed(line(raw), Stream.B).stream is Stream.B


def test_equal_ids_share_a_lane_however_they_are_written() -> None:
    """An integer is its decimal string, and an escape the character it stands for."""
    lanes = {
        addressed(line(raw), None).lane
        for raw in (
            b'{"unique_identifier":"65"}',
            b'{"unique_identifier":65}',
            b'{"unique_identifier":"\\u0036\\u0035"}',
        )
    }
    assert lanes == {lane_of("65")}


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", "ä", "漢"]), st.sampled_from(Stream)), max_size=60),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_records_of_an_id_leave_in_their_order(sent: list[tuple[str, Stream]], lanes: int, size: int) -> None:
    """Every id is in one batch of a wave at most, in the order of its source, and no record is lost or twice."""
    source = [
        Outgoing(Position(number, number), stream, lane_of(record_id), json.dumps([record_id, number]).encode())
        for number, (record_id, stream) in enumerate(sent, 1)
    ]
    came: dict[tuple[Stream, str], list[int]] = defaultdict(list)
    for wave in waves(iter(source), WaveSize(lanes=lanes, records=size)):
        batches_of_id = defaultdict(set)
        for place, batch in wave.batches.items():
            assert 1 <= len(batch.records) <= size
            for record in batch.records:
                record_id, number = json.loads(record.raw)
                came[record.stream, record_id].append(number)
                batches_of_id[record.stream, record_id].add(place)
        assert all(len(places) == 1 for places in batches_of_id.values())
    expected: dict[tuple[Stream, str], list[int]] = defaultdict(list)
    for number, (record_id, stream) in enumerate(sent, 1):
        expected[stream, record_id].append(number)
    assert came == expected


def test_a_wave_ends_where_its_last_record_ends() -> None:
    """So what follows a position is exactly what was not in the waves before it."""
    packed = list(waves(records("x", "x", "x", "x", "x"), WaveSize(lanes=2, records=2)))
    assert [wave.end.line for wave in packed] == [2, 4, 5]


def test_a_batch_has_at_most_so_many_bytes_but_a_large_record_goes_alone() -> None:
    """A record beyond the size of a batch is ingest's to judge."""
    sizes = WaveSize(lanes=1, bytes=32)
    assert [wave.records for wave in waves(records(*"abcd", size=15), sizes)] == [2, 2]
    assert [wave.records for wave in waves(records(*"abc", size=500), sizes)] == [1, 1, 1]


def test_silence_closes_a_wave() -> None:
    """What a slow pipe gave must not wait for company."""
    first, second = records("a", "b")
    packed = list(waves(iter([first, None, None, second]), WaveSize()))
    assert [wave.end.line for wave in packed] == [1, 0, 2]


def test_a_line_that_no_request_could_hold_is_refused_without_being_sent() -> None:
    """It is told among the refusals, with its line."""
    (wave,) = waves(addressed_lines([line(b"{}", 1), line(None, 2)], None), WaveSize())
    assert wave.records == 1
    assert wave.end.line == 2
    assert [(refusal.end.line, refusal.code) for refusal in wave.refused] == [(2, "record_too_large")]


def test_what_came_before_a_source_broke_off_is_given() -> None:
    """The error comes behind it."""

    def breaking_off() -> Iterator[Outgoing | Refusal | None]:
        yield from records("a", "b")
        raise CliError("cut short")

    packed = waves(breaking_off(), WaveSize())
    assert next(packed).records == 2
    with pytest.raises(CliError, match="cut short"):
        next(packed)
