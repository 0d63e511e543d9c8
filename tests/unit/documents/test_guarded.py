"""Claims on the shape of the update that MongoDB gets."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from bson.int64 import Int64

from common.contracts import STORED, RecordA, RecordB, Stream, version_of
from documents.versions import Upsert
from documents.writes import guarded

HOSTILE = "$where"


def upsert_of(record: RecordA) -> Upsert:
    return Upsert(record, version_of(record), record.event_time, entry=SimpleNamespace(offset=0))


def a_record() -> RecordA:
    return RecordA(id=HOSTILE, number=1.0, text=HOSTILE, event_time=1, ingested_at=2)


def b_record() -> RecordB:
    return RecordB(id=HOSTILE, a_id=HOSTILE, number=1.0, text=HOSTILE, event_time=1, ingested_at=2)


def outside_literals(expression: Any) -> Iterator[Any]:
    """Every leaf of an expression that MongoDB would evaluate."""
    if isinstance(expression, dict):
        for name, value in expression.items():
            if name != "$literal":
                yield from outside_literals(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from outside_literals(value)
    else:
        yield expression


def literals(expression: Any) -> Iterator[Any]:
    if isinstance(expression, dict):
        for name, value in expression.items():
            if name == "$literal":
                yield value
            else:
                yield from literals(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from literals(value)


def test_nothing_that_a_sender_wrote_is_evaluated() -> None:
    """A text that begins with a dollar is a text, not an expression."""
    update = guarded(upsert_of(b_record()))
    assert HOSTILE not in list(outside_literals(update._doc))


def test_it_is_an_upsert_by_id_alone() -> None:
    """A filter on more than the id would insert a second document when the version does not fit."""
    update = guarded(upsert_of(b_record()))
    assert (update._filter, update._upsert) == ({"_id": HOSTILE}, True)


def test_it_writes_exactly_the_fields_of_the_contract() -> None:
    """Who reads documents decodes them by the contract."""
    for stream, record in ((Stream.A, a_record()), (Stream.B, b_record())):
        (written,) = literals(guarded(upsert_of(record))._doc)
        assert {"_id", "first_seen", *written} == set(STORED[stream].__struct_encode_fields__)


def test_times_and_hashes_are_int64_however_small() -> None:
    """A field that is an int32 here and an int64 there has two types for everyone who reads it with a schema."""
    update = guarded(upsert_of(b_record()))
    (written,) = literals(update._doc)
    integers = [value for value in outside_literals(update._doc) if isinstance(value, int)]
    integers += [written[name] for name in ("event_time", "ingested_at", "content_hash")]
    assert len(integers) == 8
    assert {type(value) for value in integers} == {Int64}
