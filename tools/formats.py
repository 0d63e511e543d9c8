"""Writes down what this version writes, for later ones to read: `python tools/formats.py` keeps it in tests/formats.

`log.jsonl` holds a message of every kind in every topic, made by the very code that writes them. What the stores come
to is kept beside it by `pytest tests/contract/upgrades --keep-formats`. Kept once, a version's folder is never changed.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from admission.validation import Accepted, Validator
from common.alerts import erasure_keys
from common.contracts import (
    ALERTS,
    CONTROL,
    RECORDS,
    REJECTED,
    Condition,
    ControlKind,
    Rejection,
    Scope,
    Stream,
    partition_of,
)
from common.destinations import Destination, DestinationKind, MuteHours, Silence, Weekday
from common.kafka.producer import Message
from common.kafka.rejections import Rejected, _message
from common.keys import given_key
from common.telemetry import TRACEPARENT
from matching.matcher import Matcher
from matching.rules import Rule, Severity, Terms, VersionedRule
from signals.scan.scanning import scan

ROOT: Final = Path(__file__).parents[1]
FORMATS: Final = ROOT / "tests/formats"
VERSION: Final[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

PARTITIONS: Final = 3
NOW_MS: Final = 1_795_420_800_000
"""When all of it was written."""
TOKEN: Final = "tsk_0123456789ab_" + "0f" * 32
SECRET: Final = "5e" * 32
"""TWINSTREAM_SECRET of then: it sealed the destinations' secrets."""

_SEALED: Final = {
    "ops": (
        "v1:AQEBAQEBAQEBAQEBnA0KHAKNqpq9i3wDNyhpUhipPb82ckSrkBQ4bLJKwjde8UcgctgeqSN9J_7xU4wO-iAXEPqdozH4qnZp2O4GGJEE"
    ),
    "team": "v1:AQEBAQEBAQEBAQEBkwoBG0y5nr-D2KW1xobNSGoK6TeMrmhuPw==",
}
_TRACE: Final = (TRACEPARENT, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
_REFUNDS: Final = Rule(
    name="refunds",
    keywords=("refund", "money back"),
    regexes=(r"order #\d+",),
    none=Terms(keywords=("no refund",)),
    when="number > 1.0",
    severity=Severity.CRITICAL,
    destinations=("ops", "team"),
    cooldown_seconds=60,
    group_seconds=30,
)
_DAY_MS: Final = 86_400_000

# Both streams: ids that come again, late, under another parent, without an event time, and once erased; texts with
# all that texts may hold. What raises an alert is too old for anyone to be told.
_SENT: Final[tuple[tuple[Stream, str], ...]] = (
    (Stream.A, '{"unique_identifier": "a-1", "number": 12.5, "text": "an A", "event_time": "2026-11-22T08:00:00Z"}'),
    (Stream.A, '{"unique_identifier": 4711, "number": 4, "text": "l\\u00f6\\u00df \\ud83d\\ude00 \\u0000 $number"}'),
    (Stream.A, '{"unique_identifier": "a-1", "number": -1e-7, "text": "", "event_time": 1795334400000}'),
    (Stream.B, '{"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 11, "text": "one"}'),
    (Stream.B, '{"unique_identifier": "b-1", "Stream_A_unique_identifier": 4711, "number": 2, "text": "its second"}'),
    (
        Stream.B,
        (
            '{"unique_identifier": "b-2", "Stream_A_unique_identifier": "nobody", "number": 20, "text": "an orphan", '
            '"event_time": "2026-11-21T09:30:00.250+01:00"}'
        ),
    ),
    (
        Stream.B,
        (
            '{"unique_identifier": "b-3", "Stream_A_unique_identifier": "a-1", "number": 3.25, '
            '"text": "Refund, please: order #7!", "event_time": "2026-11-21T00:00:00Z"}'
        ),
    ),
    (Stream.B, '{"unique_identifier": "b-4", "Stream_A_unique_identifier": "a-1", "number": 1, "text": "erased"}'),
)
_ERASED: Final = (Stream.B, b"b-4")


def messages() -> Iterator[tuple[str, Message]]:
    """Every message, with its topic, in the order of their writing."""
    yield from ((CONTROL, one) for one in _control())
    yield from ((RECORDS[stream], one) for stream, one in _records())
    yield REJECTED, _message(_rejected())
    yield from ((ALERTS, one) for one in alerts_of(_records()))


def lines() -> str:
    """The content of `log.jsonl`."""
    return "".join(msgspec.json.encode(_line(topic, one)).decode() + "\n" for topic, one in messages())


def _line(topic: str, message: Message) -> dict[str, Any]:
    return {
        "topic": topic,
        "key": message.key.decode(),
        "value": None if message.value is None else message.value.decode(),
        "headers": {name: value.decode() for name, value in message.headers},
    }


def _control() -> Iterator[Message]:
    key = given_key("kept", list(Scope), NOW_MS, TOKEN)
    assert key is not None  # noqa: S101  # its form is ours
    revoked = msgspec.structs.replace(key, id="ba9876543210", name="revoked", revoked_at=NOW_MS)
    yield from (_entry(ControlKind.KEY, one.id, one) for one in (key, revoked))
    big = {"name": "big", "stream": Stream.B, "expression": "number > 10.0", "per_a": True}
    yield _entry(ControlKind.CONDITION, "big", Condition(**big, created_at=NOW_MS, changed_at=NOW_MS))
    yield _entry(ControlKind.RULE, "refunds", _REFUNDS)
    yield _entry(ControlKind.RULE, "gone", Rule(name="gone", keywords=("an",)))
    yield _entry(ControlKind.RULE, "gone", None)
    yield from (_entry(ControlKind.DESTINATION, one.name, one) for one in _destinations())
    yield _entry(ControlKind.SILENCE, "0a1b2c3d", _silence())


def _destinations() -> Iterator[Destination]:
    told = {"created_at": NOW_MS, "changed_at": NOW_MS}
    nights = MuteHours(start="20:00", end="07:30", days=(Weekday.MONDAY,), zone="Europe/Berlin")
    yield Destination(
        name="ops",
        kind=DestinationKind.WEBHOOK,
        url="https://ops.example.com/hook",
        secret=_SEALED["ops"],
        limit_per_hour=100,
        mute=(nights,),
        fallback="team",
        **told,
    )
    yield Destination(
        name="team", kind=DestinationKind.SLACK, channel="#alerts", secret=_SEALED["team"], enabled=False, **told
    )


def _silence() -> Silence:
    times = {"starts_at": NOW_MS, "ends_at": NOW_MS + _DAY_MS, "created_at": NOW_MS}
    return Silence(id="0a1b2c3d", rule="refunds", severity=Severity.CRITICAL, a_id="a-1", comment="known", **times)


def _entry(kind: ControlKind, entry_id: str, value: msgspec.Struct | None) -> Message:
    return Message(f"{kind}/{entry_id}".encode(), None if value is None else msgspec.json.encode(value), NOW_MS)


def _records() -> Iterator[tuple[Stream, Message]]:
    for number, (stream, raw) in enumerate(_SENT):
        accepted = Validator(stream, 512 * 1024).check(raw.encode(), NOW_MS * 1000 + number)
        assert isinstance(accepted, Accepted), accepted  # noqa: S101  # they are valid
        yield stream, Message(accepted.key, accepted.value, NOW_MS, [_TRACE])
    stream, key = _ERASED
    yield stream, Message(key, None, NOW_MS, [_TRACE])


def _rejected() -> Rejected:
    raw = b'{"unique_identifier": "b-9", "number": "many"}'
    why = Rejection(
        code="wrong_type",
        detail="number: a number is needed.",
        stream=Stream.B,
        rejected_by="ingest",
        rejected_at=NOW_MS,
        source="0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331/0",
        size=len(raw),
    )
    return Rejected(why.source, raw, why, _TRACE[1])


def alerts_of(records: Iterable[tuple[Stream, Message]], rule: Rule = _REFUNDS) -> Iterator[Message]:
    """What the scanner writes for `records` of a log with as many partitions."""
    matcher, ends = Matcher.compile([VersionedRule(rule, 3)]), Counter[tuple[Stream, int]]()
    for stream, message in records:
        place = stream, partition_of(message.key, PARTITIONS)
        entry = SimpleNamespace(offset=ends[place], key=message.key, value=message.value, headers=message.headers)
        ends[place] += 1
        scanned = scan(matcher, stream, [entry], NOW_MS)
        yield from scanned.alerts.values()
        for erasure in scanned.erased:
            value = msgspec.json.encode(erasure)
            yield from (Message(key, value, NOW_MS) for key in erasure_keys(PARTITIONS))


if __name__ == "__main__":
    (FORMATS / VERSION).mkdir(parents=True, exist_ok=True)
    (FORMATS / VERSION / "log.jsonl").write_text(lines(), encoding="utf-8")
