"""What a batch of records comes to: alerts where rules hold, and what could not be taken. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from common.alerts import Alert, Erasure, Span
from common.contracts import Record, Stream
from common.errors import Refused
from common.kafka.batches import Entry
from common.kafka.producer import Message
from common.kafka.records import read_record
from common.kafka.rejections import Refusal
from common.telemetry import TRACEPARENT
from matching.matcher import Hit, Matcher
from matching.regexes import RegexSetError
from matching.rules import alert_id

_MAX_SHOWN_CHARACTERS: Final = 16 * 1024
"""Of what was found in a text and by which patterns, beyond the first span: an alert has to fit into a message."""

MAX_ALERT_BYTES: Final = 8 * 1024 * 1024
"""Of alerts that are written at once: what rules find may be many times what they look at."""


@dataclass
class Scanned:
    """What messages came to. Each is counted once: in `records`, `erased` or `refusals`."""

    alerts: dict[str, Message] = field(default_factory=dict)
    """By id: the same text twice in a batch is one alert, unless its record was erased in between."""
    raised_on: dict[str, set[str]] = field(default_factory=dict)
    """The ids of `alerts` by the record that they are of."""
    refusals: list[Refusal] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    """How often each rule held, repetitions included."""
    erased: list[Erasure] = field(default_factory=list)
    records: int = 0
    slow: int = 0
    """Records on which the set of regexes gave up, so that each regex was looked for by itself."""
    ingested_us: list[int] = field(default_factory=list)
    """When the records with alerts were ingested."""
    alert_bytes: int = 0

    @property
    def taken(self) -> int:
        """How many messages it is about."""
        return self.records + len(self.erased) + len(self.refusals)


def scan(matcher: Matcher, stream: Stream, entries: Sequence[Entry], now_ms: int) -> Scanned:
    """Match every record among `entries`; whatever goes wrong with one is no matter to the others.

    It ends early once there are `MAX_ALERT_BYTES` of alerts: `taken` tells how far it came.
    """
    scanned = Scanned()
    for entry in entries:
        if scanned.alert_bytes >= MAX_ALERT_BYTES:
            break
        try:
            record = read_record(stream, entry)
        except Refused as refused:
            scanned.refusals.append(Refusal(entry, refused.code, refused.detail))
            continue
        if isinstance(record, str):
            _erase(scanned, Erasure(stream=stream, record_id=record, offset=entry.offset))
            continue
        try:
            hits = _hits(matcher, stream, record, scanned)
            if hits:
                alerts = [alert_of(hit, stream, record, entry, now_ms) for hit in hits]
                _take(scanned, entry, record.id, alerts)
                scanned.ingested_us.append(record.ingested_at)
        except BaseException as error:  # noqa: BLE001  # a panic of an engine is no Exception; one record stops nobody
            detail = f"The rules failed on it: {type(error).__name__}: {error}"
            scanned.refusals.append(Refusal(entry, "scan_failed", detail[:1000]))
        else:
            scanned.records += 1
    return scanned


def _hits(matcher: Matcher, stream: Stream, record: Record, scanned: Scanned) -> list[Hit]:
    try:
        return matcher.match(stream, record)
    except RegexSetError:
        scanned.slow += 1
        return matcher.match_singly(stream, record)


def _erase(scanned: Scanned, erasure: Erasure) -> None:
    scanned.erased.append(erasure)
    for alert in scanned.raised_on.pop(erasure.record_id, ()):
        del scanned.alerts[alert]


def _take(scanned: Scanned, entry: Entry, record_id: str, alerts: Sequence[Alert]) -> None:
    scanned.raised_on.setdefault(record_id, set()).update(alert.id for alert in alerts)
    traced = [header for header in entry.headers if header[0] == TRACEPARENT]
    for alert in alerts:
        scanned.hits[alert.rule] += 1
        if alert.id not in scanned.alerts:
            value = msgspec.json.encode(alert)
            scanned.alerts[alert.id] = Message(alert.id.encode(), value, alert.raised_at, traced)
            scanned.alert_bytes += len(value)


def alert_of(hit: Hit, stream: Stream, record: Record, entry: Entry, now_ms: int) -> Alert:
    """The alert of a hit on `record`, which stands as `entry` in the log."""
    rule = hit.rule
    return Alert(
        id=alert_id(rule.name, hit.revision, stream, record.id, record.text),
        rule=rule.name,
        rule_version=hit.version,
        match_revision=hit.revision,
        severity=rule.severity,
        stream=stream,
        record=msgspec.Raw(entry.value or b""),
        matches=tuple(_shown(hit.spans)),
        destinations=rule.destinations,
        cooldown_seconds=rule.cooldown_seconds,
        group_seconds=rule.group_seconds,
        raised_at=now_ms,
        offset=entry.offset,
    )


def _shown(spans: Sequence[Span]) -> Iterator[Span]:
    left = _MAX_SHOWN_CHARACTERS
    for number, span in enumerate(spans):
        left -= len(span.text) + len(span.pattern)
        if number and left < 0:
            return
        yield span
