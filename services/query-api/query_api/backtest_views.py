"""Trials of rules, on one record or on those of the past, as they are asked for and answered."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from common.alerts import Span
from common.contracts import Stream
from matching.explanation import Explanation

_TIME: Final = {"format": "date-time"}
MAX_HOURS: Final = 35 * 24
MAX_RECORDS: Final = 1_000_000
MAX_SECONDS: Final = 60

Moment = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]


class TrialRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule and a record to try it on."""

    rule: Annotated[dict[str, Any] | str, Meta(description="A rule, which needs no name here, or the name of one.")]
    stream: Annotated[Stream, Meta(description="The stream that the record is of.")] = Stream.B
    record: Annotated[
        dict[str, Any], Meta(description="A record as it is sent; what does not matter may be left out, but its text.")
    ]


class BacktestRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far back to look, and how much of it at most."""

    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS, description="How many hours back.")] = 24.0
    max_records: Annotated[
        int, Meta(ge=1, le=MAX_RECORDS, description="Of more records than these, the newest are looked at.")
    ] = 100_000
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=MAX_SECONDS, description="After which time to answer with what was found so far.")
    ] = 20
    rule: Annotated[
        dict[str, Any] | None,
        Meta(description="How the rule would be changed, or made: tried in the place of the one in force."),
    ] = None


class SampleRecord(msgspec.Struct, kw_only=True):
    """A record as it was when the rule would have held."""

    id: str = msgspec.field(name="unique_identifier")
    a_id: Annotated[str | None, Meta(description="Null on stream a.")] = msgspec.field(
        name="Stream_A_unique_identifier"
    )
    number: float
    text: str
    event_time: Moment
    ingested_at: Moment


class Sample(msgspec.Struct, kw_only=True):
    """An alert that there would have been."""

    stream: Stream
    record: SampleRecord
    matches: tuple[Span, ...]


class HourOfAlerts(msgspec.Struct, kw_only=True):
    """An hour in which there were hits."""

    start: Moment
    hits: Annotated[int, Meta(description="Records that the rule held for.")]
    alerts: Annotated[int, Meta(description="Those whose text had not been alerted before.")]


class HourOfMessages(msgspec.Struct, kw_only=True):
    """An hour in which a destination would have had messages."""

    start: Moment
    messages: int


class Forecast(msgspec.Struct, kw_only=True):
    """What a destination would have had, after silences, cooldown, grouping, mute hours and its limit."""

    name: str
    messages: int
    busiest_hour: Annotated[int, Meta(description="Messages in the hour that had the most.")]
    hours: list[HourOfMessages]


class Backtest(msgspec.Struct, kw_only=True):
    """What a rule would have done."""

    rule: str
    version: Annotated[int | None, Meta(description="Null for a rule that came with the request.")]
    window_start: Annotated[str, Meta(description="Since when every record was looked at.", extra_json_schema=_TIME)]
    window_end: Moment
    complete: Annotated[bool, Meta(description="Whether all of the hours that were asked for were looked at.")]
    records: int
    hits: Annotated[int, Meta(description="Records that the rule held for.")]
    alerts: Annotated[int, Meta(description="Hits without those whose text had been alerted before.")]
    hours: list[HourOfAlerts]
    samples: Annotated[list[Sample], Meta(description="A few of the alerts.")]
    destinations: list[Forecast]


SCHEMAS: Final = (TrialRequest, Explanation, BacktestRequest, Backtest)
