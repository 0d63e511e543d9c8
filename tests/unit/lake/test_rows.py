"""Claims on what messages come to as rows."""

from datetime import UTC, datetime

import msgspec
import pytest

from common.contracts import RecordA, RecordB, Stream, version_of
from common.kafka.batches import Logged, Partition
from lake.writer.pending import Due, Pending, ages_of
from lake.writer.rows import ARROW, read


def said(offset: int, record_id: str = "x", **fields) -> Logged:
    record = RecordB(
        **{"id": record_id, "a_id": "p", "number": 1.5, "text": "t", "event_time": 5, "ingested_at": 7, **fields}
    )
    return Logged(offset, record_id.encode(), msgspec.json.encode(record), 86_400_000)


def test_a_row_says_what_its_record_says_and_where_it_came_from() -> None:
    """Under the record's own names, with the version's hash, in UTC."""
    (row,) = read(Stream.B, 2, [said(11)]).batch.to_pylist()
    record = RecordB(id="x", a_id="p", number=1.5, text="t", event_time=5, ingested_at=7)
    assert row == {
        "unique_identifier": "x",
        "Stream_A_unique_identifier": "p",
        "number": 1.5,
        "text": "t",
        "event_time": datetime(1970, 1, 1, 0, 0, 0, 5_000, UTC),
        "ingested_at": datetime(1970, 1, 1, 0, 0, 0, 7, UTC),
        "content_hash": version_of(record).content_hash,
        "erased": False,
        "kafka_partition": 2,
        "kafka_offset": 11,
        "kafka_timestamp": datetime(1970, 1, 2, tzinfo=UTC),
    }


def test_rows_of_a_have_no_parent() -> None:
    record = RecordA(id="x", number=1, text="", event_time=5, ingested_at=7)
    rows = read(Stream.A, 0, [Logged(0, b"x", msgspec.json.encode(record))])
    assert rows.batch.schema == ARROW[Stream.A]
    assert "Stream_A_unique_identifier" not in rows.batch.schema.names


def test_a_tombstone_is_a_row_with_an_id_and_a_place_alone() -> None:
    """Whoever reads the log must know from where on the id begins anew."""
    rows = read(Stream.B, 0, [said(0, "x"), Logged(1, b"y", None), said(2, "z")])
    found = [
        (one["unique_identifier"], one["erased"], one["text"], one["kafka_offset"]) for one in rows.batch.to_pylist()
    ]
    assert found == [("x", False, "t", 0), ("y", True, None, 1), ("z", False, "t", 2)]
    assert rows.erased == 1


def test_what_is_no_record_is_no_row() -> None:
    rows = read(Stream.B, 0, [said(0), Logged(1, b"x", b"{"), Logged(2, b"other", said(2).value)])
    assert rows.batch.num_rows == 1
    assert [(refusal.entry.offset, refusal.code) for refusal in rows.refusals] == [
        (1, "undecodable"),
        (2, "undecodable"),
    ]


@pytest.mark.parametrize(
    ("due", "now", "is_due"),
    [
        (Due(10, 5, 10_000), 9.9, False),
        (Due(10, 5, 10_000), 10.0, True),
        (Due(10, 3, 10_000), 0.0, True),
        (Due(10, 5, 100), 0.0, True),
    ],
)
def test_a_commit_is_due_by_time_rows_or_bytes(due, now, is_due) -> None:
    """Whichever comes first; time counts from the first row."""
    pending = Pending({0: 4})
    assert not pending.is_due(due, 1e9)
    pending.take(Partition("records.b", 0), read(Stream.B, 0, [said(4), said(5), said(8)]), 9, 0.0)
    assert pending.is_due(due, now) is is_due
    assert pending.positions == {0: 9}


def test_ages_are_an_even_sample_without_tombstones() -> None:
    entries = [said(n, f"x{n}") for n in range(100)] + [Logged(100, b"y", None)]
    ages = ages_of([read(Stream.B, 0, entries).batch], 1_000_007, 10)
    assert (len(ages), set(ages)) == (10, {1.0})
