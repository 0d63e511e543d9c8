"""The examples of rules in the OpenAPI document."""

from typing import Final

import msgspec

from common.alerts import Severity, Span
from common.contracts import Stream
from matching.explanation import Explanation, Reason, Step
from matching.rules import Terms
from query_api.backtest_views import (
    Backtest,
    BacktestRequest,
    Forecast,
    HourOfAlerts,
    HourOfMessages,
    Sample,
    SampleRecord,
    TrialRequest,
)
from query_api.rule_views import RuleChange, RulePage, RuleRequest, RuleView

_RULE: Final = RuleView(
    name="refunds",
    version=42,
    match_revision="9b3c41d07f5ae268",
    streams=(Stream.B,),
    keywords=("refund", "money back"),
    regexes=(),
    all=Terms(),
    none=Terms(),
    when="number > 100.0",
    severity=Severity.WARNING,
    destinations=("ops",),
    cooldown_seconds=0,
    group_seconds=0,
    enabled=True,
)
_RULE_CHANGE: Final = RuleChange(streams=(Stream.B,), keywords=("refund",), destinations=("ops",), group_seconds=60)

RULE_EXAMPLES: Final[dict[str, msgspec.Struct]] = {
    "rule": _RULE,
    "rules": RulePage(items=[_RULE], next_cursor=None),
    "changed_rule": msgspec.structs.replace(
        _RULE, version=57, match_revision="51e0c9d2a7b84f36", keywords=("refund",), when=None, group_seconds=60
    ),
    "rule_request": RuleRequest(name="refunds", keywords=("refund", "money back"), destinations=("ops",)),
    "rule_request_in_full": RuleRequest(
        name="big.refunds",
        streams=(Stream.B,),
        keywords=("refund", "money back"),
        regexes=("(?i)charge[- ]?back",),
        all=Terms(keywords=("order",)),
        none=Terms(keywords=("test order",)),
        when="number > 100.0",
        severity=Severity.CRITICAL,
        destinations=("ops", "team"),
        cooldown_seconds=300,
        group_seconds=60,
    ),
    "rule_change": _RULE_CHANGE,
    "trial_request": TrialRequest(
        rule={"keywords": ["refund"], "when": "number > 100.0"},
        record={"number": 250, "text": "A REFUND, please."},
    ),
    "trial_request_by_name": TrialRequest(rule="refunds", stream=Stream.B, record={"text": "No refunds."}),
    "trial_matched": Explanation(
        matched=True,
        matches=(Span("text", 2, 8, "REFUND", "refund"),),
        explain=(
            Step("stream", passed=True, detail="the rule is for a and b"),
            Step("any", passed=True, detail="'refund' stands at 2 to 8"),
            Step("when", passed=True, detail="'number > 100.0' is true for this record"),
        ),
        folded="a refund, please.",
        cleaned="A REFUND, please.",
    ),
    "trial_failed": Explanation(
        matched=False,
        matches=(),
        explain=(
            Step("stream", passed=True, detail="the rule is for b"),
            Step(
                "any",
                passed=False,
                detail="'refund' stands at 3 to 9, but within 'refunds'",
                reason=Reason.BOUNDARY,
            ),
        ),
        folded="no refunds.",
        cleaned="No refunds.",
    ),
    "backtest_request": BacktestRequest(hours=24.0),
    "backtest_request_of_a_change": BacktestRequest(
        hours=168.0, max_records=500_000, rule={"keywords": ["refund", "chargeback"], "group_seconds": 60}
    ),
    "backtest": Backtest(
        rule="refunds",
        version=42,
        window_start="2026-11-22T08:00:00.000Z",
        window_end="2026-11-23T08:00:00.000Z",
        complete=True,
        records=41_600,
        hits=9,
        alerts=3,
        hours=[HourOfAlerts(start="2026-11-23T07:00:00.000Z", hits=9, alerts=3)],
        samples=[
            Sample(
                stream=Stream.B,
                record=SampleRecord(
                    id="b-1",
                    a_id="a-1",
                    number=12.5,
                    text="Please refund my order.",
                    event_time="2026-11-23T08:00:00.000Z",
                    ingested_at="2026-11-23T08:00:01.250417Z",
                ),
                matches=(Span("text", 7, 13, "refund", "refund"),),
            )
        ],
        destinations=[
            Forecast(
                name="ops",
                messages=2,
                busiest_hour=2,
                hours=[HourOfMessages(start="2026-11-23T07:00:00.000Z", messages=2)],
            )
        ],
    ),
    "rule_disabled": msgspec.structs.replace(_RULE_CHANGE, enabled=False),
}
