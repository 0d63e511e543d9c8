import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from admission.explanation import Refusal, explain
from admission.validation import Accepted, Validator
from common.contracts import RECORD, Stream
from common.problems import RECORD as CODES

NOW_MS = 1_795_420_800_000  # 2026-11-23T08:00:00Z
NOW_US = NOW_MS * 1000 + 7
MAX_RECORD = 512 * 1024
VALIDATORS = {stream: Validator(stream, MAX_RECORD) for stream in Stream}
GOOD: dict[Stream, dict[str, Any]] = {
    Stream.A: {"unique_identifier": "a-1", "number": 1.5, "text": "t"},
    Stream.B: {"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 1.5, "text": "t"},
}


def check(raw: bytes | str, stream: Stream = Stream.A) -> Accepted | Refusal:
    return VALIDATORS[stream].check(raw.encode() if isinstance(raw, str) else raw, NOW_US)


def with_field(name: str, literal: str | bytes, stream: Stream = Stream.A) -> bytes:
    """A good record whose field `name` is the given JSON."""
    marked = json.dumps(GOOD[stream] | {name: "MARK"}).encode()
    return marked.replace(b'"MARK"', literal.encode() if isinstance(literal, str) else literal)


def accepted(raw: bytes, stream: Stream = Stream.A) -> Any:
    outcome = check(raw, stream)
    assert isinstance(outcome, Accepted), outcome
    return msgspec.json.decode(outcome.value, type=RECORD[stream])


def refused(raw: bytes | str, stream: Stream = Stream.A) -> Refusal:
    outcome = check(raw, stream)
    assert isinstance(outcome, Refusal), outcome
    assert outcome.code in CODES
    assert len(outcome.detail) < 300
    return outcome


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", list(Stream))
def test_a_good_record_stands_in_the_log_with_its_times(stream: Stream) -> None:
    """Key and value are what every reader of the log expects."""
    outcome = check(json.dumps(GOOD[stream]), stream)
    assert isinstance(outcome, Accepted)
    assert outcome.key == GOOD[stream]["unique_identifier"].encode()
    assert json.loads(outcome.value) == GOOD[stream] | {"event_time": NOW_MS, "ingested_at": NOW_US}


@pytest.mark.parametrize(
    ("literal", "kept"),
    [
        ('"x"', "x"),
        ("4711", "4711"),
        ("-5", "-5"),
        ("0", "0"),
        ("1" * 256, "1" * 256),
        (json.dumps("é" * 256), "é" * 256),
        (json.dumps("😀" * 256), "😀" * 256),
        ('"a/b c?%2F#\\"\\\\"', 'a/b c?%2F#"\\'),
        ('" "', " "),
        ('"\\u00a0\\u200b\\u2028"', "\u00a0\u200b\u2028"),
    ],
)
def test_ids_that_are_taken(literal: str, kept: str) -> None:
    """1 to 256 characters, however many bytes they have; an integer is its decimal string."""
    assert accepted(with_field("unique_identifier", literal)).id == kept
    assert accepted(with_field("Stream_A_unique_identifier", literal, Stream.B), Stream.B).a_id == kept


@pytest.mark.parametrize(
    ("literal", "kept"),
    [
        ("5", 5.0),
        ("-0.0", -0.0),
        ("1E5", 1e5),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        ("9007199254740992", 2.0**53),
        ("-9007199254740992", -(2.0**53)),
        ("9007199254740993.0", 2.0**53),
        ("1e30", 1e30),
    ],
)
def test_numbers_that_are_taken(literal: str, kept: float) -> None:
    """Every number is kept as a double, also one that was written as an integer."""
    number = accepted(with_field("number", literal)).number
    assert isinstance(number, float)
    assert number == kept
    assert math.copysign(1, number) == math.copysign(1, kept)


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 65_536, "é" * 32_768, "😀" * 16_384, "\x00\x1f\x7f", 'quo"te\\', "\u2028", "مرحبا 你好"]
)
def test_texts_that_are_taken(text: str) -> None:
    """Up to 64 KiB of UTF-8, of whatever characters, escaped or not."""
    for ascii_only in (True, False):
        assert accepted(with_field("text", json.dumps(text, ensure_ascii=ascii_only))).text == text


@pytest.mark.parametrize(
    ("literal", "kept"),
    [
        ("null", NOW_MS),
        ("946684800000", 946_684_800_000),
        (f"{NOW_MS + 300_000}", NOW_MS + 300_000),
        ('"2026-11-23T08:00:00Z"', NOW_MS),
        ('"2026-11-23T13:30:00+05:30"', NOW_MS),
        ('"2026-11-23t07:59:59.9999z"', NOW_MS - 1),
        ('"2026-11-23 07:00:00.001-01:00"', NOW_MS + 1),
        ('"2000-01-01T00:00:00Z"', 946_684_800_000),
    ],
)
def test_event_times_that_are_taken(literal: str, kept: int) -> None:
    """RFC 3339 with an offset or epoch milliseconds, kept in whole milliseconds; null is as good as absent."""
    assert accepted(with_field("event_time", literal)).event_time == kept


# --- what is refused --------------------------------------------------------------------------------------------------

FIELDS = "unique_identifier, number, text, event_time"


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        ("{", "record_not_json", "expecting property name enclosed in double quotes at byte 1"),
        ('{"a" 1}', "record_not_json", """expecting ':' delimiter at byte 5, near "{\\"a\\" 1}\""""),
        (with_field("number", "NaN"), "record_not_json", "NaN is none of its numbers"),
        (with_field("number", "-Infinity"), "record_not_json", "-Infinity is none of its numbers"),
        (with_field("text", '"a\nb"'), "record_not_json", "invalid control character at byte"),
        (with_field("text", "[" * 100_000), "record_not_json", "nested too deeply"),
        (b'{"text": \xff}', "record_not_json", "expecting value at byte 9, near"),
        ('{"a": 1} x', "record_not_json", "extra data at byte 9"),
        ("nul", "record_not_json", "expecting value at byte 0"),
        ("null", "record_not_object", "The record is null: it must be an object"),
        ("[1]", "record_not_object", "The record is an array"),
        ('"text"', "record_not_object", "The record is a string"),
        ("1.5", "record_not_object", "The record is a number"),
        ("true", "record_not_object", "The record is a boolean"),
    ],
)
def test_what_is_no_record_at_all(raw: bytes | str, code: str, said: str) -> None:
    """The refusal says what stands there instead."""
    refusal = refused(raw)
    assert refusal.code == code
    assert refusal.field is None
    assert said in refusal.detail


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unique_identifer", 'did you mean "unique_identifier"?'),
        ("Unique_Identifier", 'did you mean "unique_identifier"?'),
        ("eventTime", 'did you mean "event_time"?'),
        ("Stream_A_unique_identifier", "a field of stream b, not of stream a"),
        ("colour", f"they are {FIELDS}."),
        ("", f"they are {FIELDS}."),
        ("x" * 10_000, f"they are {FIELDS}."),
    ],
)
def test_an_unknown_field_is_refused_by_name(name: str, said: str) -> None:
    """A typo must not vanish, and the nearest name that there is helps to find it."""
    refusal = refused(json.dumps(GOOD[Stream.A] | {name: 1}))
    assert refusal.code == "unknown_field"
    assert refusal.field == name[:64]
    assert said in refusal.detail


def test_the_parents_name_in_another_case_is_recognised() -> None:
    """Its capitals are easily missed."""
    record = GOOD[Stream.B] | {"stream_a_unique_identifier": "a"}
    assert 'did you mean "Stream_A_unique_identifier"?' in refused(json.dumps(record), Stream.B).detail


@pytest.mark.parametrize(
    ("stream", "name", "said"),
    [
        (Stream.A, "unique_identifier", "unique_identifier is missing: it must be a string or an integer."),
        (Stream.A, "number", "number is missing: it must be a number."),
        (Stream.A, "text", "text is missing: it must be a string."),
        (Stream.B, "Stream_A_unique_identifier", "Stream_A_unique_identifier is missing: it must be a string or"),
    ],
)
def test_a_missing_field_is_refused_by_name(stream: Stream, name: str, said: str) -> None:
    """Every field but event_time must be there."""
    refusal = refused(json.dumps({k: v for k, v in GOOD[stream].items() if k != name}), stream)
    assert (refusal.code, refusal.field) == ("missing_field", name)
    assert said in refusal.detail


@pytest.mark.parametrize(
    ("name", "literal", "code", "said"),
    [
        ("unique_identifier", "true", "wrong_type", "is a boolean (true): it must be a string or an integer."),
        ("unique_identifier", "1.5", "wrong_type", "is a number (1.5): it must be a string or an integer."),
        ("unique_identifier", "null", "wrong_type", "is null: it must be a string or an integer."),
        ("unique_identifier", '["x"]', "wrong_type", "is an array: it must be"),
        ("unique_identifier", '""', "invalid_id", "is empty: an id has 1 to 256 characters."),
        ("unique_identifier", json.dumps("x" * 300), "invalid_id", "has 300 characters: an id has at most 256."),
        ("unique_identifier", "1" * 257, "invalid_id", "has 257 characters: an id has at most 256."),
        ("unique_identifier", "1" * 100_000, "invalid_id", "an id has at most 256."),
        ("unique_identifier", '"a\\u0000b"', "invalid_id", "control character U+0000 as its character 2"),
        ("unique_identifier", '"\\u0085"', "invalid_id", "control character U+0085 as its character 1"),
        ("unique_identifier", '"a\\ud800"', "invalid_id", "has a lone surrogate, '\\ud800', as its character 2"),
        ("unique_identifier", b'"\xff"', "invalid_id", "has a byte that is not UTF-8, 0xff, as its character 1"),
        ("number", "true", "wrong_type", "is a boolean (true): it must be a number."),
        ("number", '"12"', "wrong_type", 'is a string ("12"): it must be a number.'),
        ("number", "null", "wrong_type", "is null: it must be a number."),
        ("number", "{}", "wrong_type", "is an object: it must be a number."),
        ("number", "1e400", "invalid_number", "is beyond the range of a double, which ends near ±1.8e308."),
        ("number", "-1e400", "invalid_number", "is beyond the range of a double"),
        ("number", f"{10**30}", "invalid_number", "is an integer beyond ±2^53, which a double would change"),
        ("number", "9007199254740993", "invalid_number", "write it with a decimal point or an exponent"),
        ("number", "-" + "1" * 100_000, "invalid_number", "is an integer beyond ±2^53"),
        ("text", "5", "wrong_type", "is a number (5): it must be a string."),
        ("text", "null", "wrong_type", "is null: it must be a string."),
        ("text", '"\\ud800"', "invalid_text", "has a lone surrogate, '\\ud800', as its character 1: send valid"),
        (
            "text",
            '"\\ud800 and a good deal more"',
            "invalid_text",
            "has a lone surrogate, '\\ud800', as its character 1",
        ),
        ("text", '"abc\\udc00"', "invalid_text", "has a lone surrogate, '\\udc00', as its character 4"),
        ("text", '"\\ud800\\u0041"', "invalid_text", "has a lone surrogate"),
        ("text", b'"caf\xe9"', "invalid_text", "has a byte that is not UTF-8, 0xe9, as its character 4"),
        ("text", b'"\xed\xa0\x80"', "invalid_text", "has a byte that is not UTF-8"),
        ("text", json.dumps("x" * 65_537), "text_too_long", "has 65,537 bytes of UTF-8: a text has at most 65,536."),
        ("text", json.dumps("é" * 32_769), "text_too_long", "has 65,538 bytes of UTF-8: a text has at most 65,536."),
        ("text", json.dumps("x" * MAX_RECORD), "record_too_large", "at most 524,288 are taken."),
        ("event_time", "1.5", "wrong_type", "is a number (1.5): it must be RFC 3339 with an offset from UTC, or an"),
        ("event_time", "true", "wrong_type", "is a boolean (true)"),
        ("event_time", '"2026-11-23T08:00:00"', "invalid_event_time", 'has no offset from UTC: end it in "Z"'),
        ("event_time", '"yesterday"', "invalid_event_time", 'is a string ("yesterday"): it must be RFC 3339'),
        ("event_time", f'"{NOW_MS}"', "invalid_event_time", "it must be RFC 3339"),
        ("event_time", '"2026-02-30T08:00:00Z"', "invalid_event_time", "it must be RFC 3339"),
        ("event_time", '"\\ud800"', "invalid_event_time", "has a lone surrogate"),
        (
            "event_time",
            '"1969-12-31T23:59:59Z"',
            "event_time_out_of_range",
            "is 1969-12-31T23:59:59Z, before the year 2000.",
        ),
        ("event_time", '"0001-01-01T00:00:00+14:00"', "event_time_out_of_range", "before the year 2000."),
        ("event_time", "-1", "event_time_out_of_range", "is 1969-12-31T23:59:59Z, before the year 2000."),
        (
            "event_time",
            '"2090-01-01T00:00:00Z"',
            "event_time_out_of_range",
            "is 2090-01-01T00:00:00Z, more than five minutes ahead of now, 2026-11-23T08:00:00Z.",
        ),
        ("event_time", f"{NOW_MS + 300_001}", "event_time_out_of_range", "more than five minutes ahead of now"),
        (
            "event_time",
            f"{NOW_MS // 1000}",
            "event_time_out_of_range",
            "it looks like seconds, but milliseconds are taken.",
        ),
        ("event_time", f"{NOW_MS * 1000}", "event_time_out_of_range", "it looks like microseconds, but milliseconds"),
        ("event_time", f"{NOW_MS * 10**6}", "event_time_out_of_range", "it looks like nanoseconds, but milliseconds"),
        ("event_time", f"{10**25}", "event_time_out_of_range", "is outside the calendar, more than five minutes ahead"),
        ("event_time", "1e400", "wrong_type", "is a number"),
    ],
)
def test_a_value_that_breaks_its_rule(name: str, literal: str | bytes, code: str, said: str) -> None:
    """The refusal names the field, says what is wrong with it and what would be right."""
    refusal = refused(with_field(name, literal))
    assert refusal.code == code
    assert said in refusal.detail
    assert refusal.field == (None if code == "record_too_large" else name)


def test_the_parents_id_has_the_same_rules() -> None:
    """An id is an id, whoever's."""
    refusal = refused(with_field("Stream_A_unique_identifier", '"a\\u0000"', Stream.B), Stream.B)
    assert (refusal.code, refusal.field) == ("invalid_id", "Stream_A_unique_identifier")


@pytest.mark.parametrize(
    ("record", "code", "field"),
    [
        ({"text": 1, "numbr": 1}, "unknown_field", "numbr"),
        ({"text": 1, "number": True}, "missing_field", "unique_identifier"),
        ({"text": 1, "number": True, "unique_identifier": ""}, "invalid_id", "unique_identifier"),
        ({"text": 1, "number": True, "unique_identifier": "x"}, "wrong_type", "number"),
    ],
)
def test_of_several_faults_one_is_told_in_a_fixed_order(record: dict[str, Any], code: str, field: str) -> None:
    """The same record always gets the same answer, whatever the order of its fields."""
    for members in (record, dict(reversed(record.items()))):
        refusal = refused(json.dumps(members))
        assert (refusal.code, refusal.field) == (code, field)


def test_a_long_value_is_never_repeated_whole() -> None:
    """Answers and logs stay small, and hold no more of a text than its beginning."""
    refusal = refused(with_field("number", json.dumps("s" * 10_000)))
    assert "s" * 40 + "…" in refusal.detail
    assert "s" * 41 not in refusal.detail


# --- both looks agree -------------------------------------------------------------------------------------------------

NAMES = [*GOOD[Stream.B], "event_time"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**15, max_value=10**19),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(
        ["\ud800", "\udc00x", "x" * 257, "2026-11-23T08:00:00Z", "2026-11-23T08:00:00", "a\x00", "é" * 32_769]
    ),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.just([]),
    st.just({}),
)
MEMBERS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3)


@given(st.sampled_from(list(Stream)), MEMBERS, st.booleans())
@example(Stream.A, [("text", 1), ("text", "x")], False)
@example(Stream.A, [("event_time", 0), ("event_time", None)], False)
def test_the_second_look_finds_a_fault_exactly_when_the_first_does(stream: Stream, members, cut) -> None:
    """What is refused is explained, and nothing is explained away: also with a name that stands twice."""
    parts = [*GOOD[stream].items(), *members]
    raw = ("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in parts) + "}").encode()
    raw = raw[: len(raw) // 2] if cut else raw
    assert isinstance(check(raw, stream), Accepted) == (explain(raw, stream, NOW_MS) is None)


@given(st.binary(max_size=50))
def test_no_bytes_break_the_check(raw: bytes) -> None:
    """Whatever comes, it is refused with a reason."""
    assert refused(raw).detail.startswith("The record is")


def test_a_record_that_is_sent_again_keeps_its_moment_where_it_names_none() -> None:
    """Its own event time stands first; what it is checked against is the present, not the past."""
    earlier_ms = NOW_MS - 3_600_000
    silent = VALIDATORS[Stream.A].check(json.dumps(GOOD[Stream.A]).encode(), NOW_US, earlier_ms)
    telling = VALIDATORS[Stream.A].check(with_field("event_time", str(NOW_MS)), NOW_US, earlier_ms)
    assert [msgspec.json.decode(one.value)["event_time"] for one in (silent, telling)] == [earlier_ms, NOW_MS]
