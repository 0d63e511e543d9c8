"""What a rule would have done to records of the past, and what its destinations would have had. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from common.contracts import RecordA, RecordB, Stream
from common.destinations import Destination, Silence
from common.instants import rfc3339_ms, rfc3339_us
from delivery.hits import Hit as Due
from delivery.simulation import per_hour, simulate
from delivery.stages import HOUR_MS, Policy
from matching.matcher import Hit, Matcher
from matching.regexes import RegexSetError
from matching.rules import Rule, alert_id
from query_api.backtest_views import Forecast, HourOfAlerts, HourOfMessages, Sample, SampleRecord

_SAMPLES: Final = 10


class _Alert(NamedTuple):
    at: int  # ms: when the record was ingested
    stream: Stream
    a_id: str


@dataclass
class Hindsight:
    """Takes records one by one, in any order."""

    matcher: Matcher
    records: int = 0
    hits: Counter[int] = field(default_factory=Counter)
    """By the beginning of their hour, in ms since the epoch."""
    samples: list[Sample] = field(default_factory=list)
    _first: dict[str, _Alert] = field(default_factory=dict)

    def take(self, stream: Stream, record: RecordA) -> None:
        self.records += 1
        for hit in self._match(stream, record):
            at = record.ingested_at // 1000
            self.hits[at // HOUR_MS * HOUR_MS] += 1
            self._raise(hit, stream, record, at)

    @property
    def alerts(self) -> Sequence[_Alert]:
        """Each alert once, when it would have been raised first."""
        return sorted(self._first.values())

    def hours(self) -> list[HourOfAlerts]:
        alerts = Counter(alert.at // HOUR_MS * HOUR_MS for alert in self._first.values())
        return [
            HourOfAlerts(start=rfc3339_ms(at), hits=hits, alerts=alerts[at]) for at, hits in sorted(self.hits.items())
        ]

    def _match(self, stream: Stream, record: RecordA) -> list[Hit]:
        try:
            return self.matcher.match(stream, record)
        except RegexSetError:
            return self.matcher.match_singly(stream, record)

    def _raise(self, hit: Hit, stream: Stream, record: RecordA, at: int) -> None:
        alert = alert_id(hit.rule.name, hit.revision, stream, record.id, record.text)
        known = self._first.get(alert)
        if known is None and len(self.samples) < _SAMPLES:
            self.samples.append(Sample(stream=stream, record=_shown(record), matches=hit.spans))
        if known is None or at < known.at:
            self._first[alert] = _Alert(at, stream, record.a_id if isinstance(record, RecordB) else record.id)


def forecasts(
    rule: Rule, alerts: Iterable[_Alert], destinations: Mapping[str, Destination], silences: Sequence[Silence]
) -> list[Forecast]:
    """What each destination of `rule` would have had, with its settings of today."""
    due = [
        Due(
            at=alert.at,
            rule=rule.name,
            severity=rule.severity,
            stream=alert.stream,
            a_id=alert.a_id,
            cooldown_ms=rule.cooldown_seconds * 1000,
            group_ms=rule.group_seconds * 1000,
        )
        for alert in alerts
    ]
    return [_forecast(name, due, destinations.get(name), silences) for name in dict.fromkeys(rule.destinations)]


def _forecast(name: str, due: Sequence[Due], destination: Destination | None, silences: Sequence[Silence]) -> Forecast:
    policy = Policy(name) if destination is None else Policy(name, destination.limit_per_hour, destination.mute)
    hours = per_hour(simulate(due, policy, silences))
    return Forecast(
        name=name,
        messages=sum(hours.values()),
        busiest_hour=max(hours.values(), default=0),
        hours=[HourOfMessages(start=rfc3339_ms(at), messages=messages) for at, messages in hours.items()],
    )


def _shown(record: RecordA) -> SampleRecord:
    return SampleRecord(
        id=record.id,
        a_id=record.a_id if isinstance(record, RecordB) else None,
        number=record.number,
        text=record.text,
        event_time=rfc3339_ms(record.event_time),
        ingested_at=rfc3339_us(record.ingested_at),
    )
