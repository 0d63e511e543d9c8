"""Claims on what a batch comes to: at most one write per id, nothing lost and nothing counted twice."""

import msgspec
import pytest

from common.contracts import MAX_ID_CHARACTERS, MAX_TEXT_BYTES, RecordA, RecordB, Stream, version_of
from common.kafka.batches import Logged
from documents.versions import fold


def said(record_id: str, event_time: int, text: str = "", ingested_at: int = 1) -> Logged:
    record = RecordA(id=record_id, number=1.0, text=text, event_time=event_time, ingested_at=ingested_at)
    return Logged(0, record_id.encode(), msgspec.json.encode(record))


def erased(record_id: str) -> Logged:
    return Logged(0, record_id.encode(), None)


def encoded(**fields: object) -> Logged:
    """A valid record of stream B but for `fields`; one that is ... is left out."""
    record = {
        "unique_identifier": "x",
        "Stream_A_unique_identifier": "a",
        "number": 1.5,
        "text": "",
        "event_time": 1,
        "ingested_at": 1,
        **fields,
    }
    return Logged(0, b"x", msgspec.json.encode({name: value for name, value in record.items() if value is not ...}))


FOLDS = {
    "nothing": ([], {}, set()),
    "one": ([said("x", 5, "t")], {"x": ("t", 5, 5)}, set()),
    "ids are apart": ([said("x", 5, "t"), said("y", 4, "u")], {"x": ("t", 5, 5), "y": ("u", 4, 4)}, set()),
    "a newer one wins": ([said("x", 5, "old"), said("x", 6, "new")], {"x": ("new", 6, 5)}, set()),
    "an older one only lowers first_seen": ([said("x", 6, "new"), said("x", 5, "old")], {"x": ("new", 6, 5)}, set()),
    "ingestion breaks a tie": ([said("x", 5, "new", 2), said("x", 5, "old", 1)], {"x": ("new", 5, 5)}, set()),
    "event time outranks ingestion": ([said("x", 5, "old", 9), said("x", 6, "new", 1)], {"x": ("new", 6, 5)}, set()),
    "the same twice is one": ([said("x", 5, "t")] * 2, {"x": ("t", 5, 5)}, set()),
    "the least of many is first seen": (
        [said("x", 7), said("x", 3), said("x", 9, "new"), said("x", 4)],
        {"x": ("new", 9, 3)},
        set(),
    ),
    "a tombstone voids what was before": ([said("x", 5), erased("x")], {}, {"x"}),
    "a tombstone does not void what comes after": ([erased("x"), said("x", 5, "t")], {"x": ("t", 5, 5)}, {"x"}),
    "what comes after it begins anew": (
        [said("x", 9, "gone"), said("x", 1, "gone"), erased("x"), said("x", 5, "t")],
        {"x": ("t", 5, 5)},
        {"x"},
    ),
    "a tombstone leaves other ids alone": ([said("y", 5, "t"), erased("x")], {"y": ("t", 5, 5)}, {"x"}),
    "the last tombstone counts": ([erased("x"), said("x", 5), erased("x")], {}, {"x"}),
    "an id may have no character when it is erased": ([erased("")], {}, {""}),
}


@pytest.mark.parametrize("name", FOLDS)
def test_a_batch_comes_to_one_write_per_id(name: str) -> None:
    """Whatever the batch holds of an id, one write says it all."""
    messages, upserts, gone = FOLDS[name]
    changes = fold(Stream.A, messages)
    found = {id_: (one.record.text, one.record.event_time, one.first_seen) for id_, one in changes.upserts.items()}
    assert (found, set(changes.erased), changes.refusals) == (upserts, gone, [])


@pytest.mark.parametrize("name", FOLDS)
def test_every_message_is_counted_once(name: str) -> None:
    """The metrics by outcome add up to what was read."""
    messages, _, _ = FOLDS[name]
    changes = fold(Stream.A, messages)
    assert len(changes.upserts) + changes.folded + changes.tombstones == len(messages)


def test_the_hash_decides_between_equal_times_whatever_the_order() -> None:
    """Every store must choose the same one."""
    one, other = said("x", 5, "one"), said("x", 5, "other")
    winners = {fold(Stream.A, order).upserts["x"].record.text for order in ([one, other], [other, one])}
    assert len(winners) == 1


def test_an_upsert_knows_its_version_and_its_message() -> None:
    """The store compares by the version; a refusal of the store names the message."""
    messages = [said("x", 6, "new"), said("x", 5, "old")]
    upsert = fold(Stream.A, messages).upserts["x"]
    assert (upsert.version, upsert.entry) == (version_of(upsert.record), messages[0])


def test_a_record_of_b_keeps_its_parent() -> None:
    record = fold(Stream.B, [encoded()]).upserts["x"].record
    assert isinstance(record, RecordB)
    assert record.a_id == "a"


def test_fields_that_only_newer_writers_know_are_ignored() -> None:
    """A newer ingest and an older worker run side by side."""
    assert fold(Stream.B, [encoded(colour="red", nested={"deep": [1]})]).refusals == []


UNDECODABLE = {
    "nothing": (Logged(0, b"x", b""), "truncated"),
    "no JSON": (Logged(0, b"x", b"{"), "truncated"),
    "no object": (Logged(0, b"x", b"[]"), "Expected `object`, got `array`"),
    "no UTF-8": (Logged(0, b"x", b'{"unique_identifier":"\xff"}'), "can't decode byte 0xff"),
    "a lone surrogate": (Logged(0, b"x", encoded(text="S").value.replace(b"S", rb"\ud800")), "surrogate"),
    "nested too deeply": (Logged(0, b"x", b'{"other":' + b"[" * 100_000), "recursion"),
    "no id": (encoded(unique_identifier=...), "unique_identifier"),
    "no parent": (encoded(Stream_A_unique_identifier=...), "Stream_A_unique_identifier"),
    "no number": (encoded(number=...), "number"),
    "no text": (encoded(text=...), "text"),
    "no event time": (encoded(event_time=...), "event_time"),
    "no ingestion": (encoded(ingested_at=...), "ingested_at"),
    "an id without characters": (encoded(unique_identifier=""), "length >= 1"),
    "an id that is too long": (encoded(unique_identifier="x" * (MAX_ID_CHARACTERS + 1)), "length <= 256"),
    "a text that is too long": (encoded(text="x" * (MAX_TEXT_BYTES + 1)), "length <= 65536"),
    "true for a number": (encoded(number=True), "got `bool`"),
    "a number beyond doubles": (Logged(0, b"x", encoded().value.replace(b"1.5", b"1e400")), "out of range"),
    "NaN": (Logged(0, b"x", encoded().value.replace(b"1.5", b"NaN")), "malformed"),
    "an event time before 1970": (encoded(event_time=-1), ">= 0"),
    "an event time beyond int64": (Logged(0, b"x", encoded(event_time=2**63).value), "event_time"),
    "an ingestion that a double cannot hold": (encoded(ingested_at=2**53 + 1), "ingested_at"),
    "another key": (Logged(0, b"y", encoded().value), "key is not its unique_identifier"),
    "no key": (Logged(0, None, encoded().value), "key is not its unique_identifier"),
    "a tombstone for bytes": (Logged(0, b"\xff", None), "not UTF-8"),
    "a tombstone for nothing": (Logged(0, None, None), "no key"),
}


@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_is_no_record_is_refused_with_the_reason(name: str) -> None:
    """It is put aside, and says why; its neighbours are taken all the same."""
    message, reason = UNDECODABLE[name]
    changes = fold(Stream.B, [encoded(), message, encoded(event_time=2)])
    assert [(one.entry, one.code) for one in changes.refusals] == [(message, "undecodable")]
    assert reason in changes.refusals[0].detail
    assert changes.upserts["x"].record.event_time == 2


def test_an_a_is_no_b() -> None:
    """A record that went to the wrong topic is not half taken."""
    assert len(fold(Stream.B, [said("x", 5)]).refusals) == 1
