"""Rules tried before they are trusted: on one record, and on those of the past."""

from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from common.contracts import Scope
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from matching.explanation import Explanation
from query_api.backtest_views import Backtest, BacktestRequest, TrialRequest
from query_api.documentation import BODY, answers, takes
from query_api.parts import parts_of
from query_api.rules_api import LIMIT_BYTES, RuleName

_RECORD_BYTES: Final = 1024 * 1024

router = APIRouter(tags=["rules"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])


@router.post(
    "/v1/rules/test",
    summary="Try a rule on a record",
    description="Whether it holds and where its words stand, or the first thing that failed: a word within a longer "
    "one, an accent, the case, the condition, the stream. Nothing is stored and nobody is told.",
    openapi_extra=takes(TrialRequest, examples=["trial_request", "trial_request_by_name"]),
    responses=answers(
        200,
        "What the scanner would find.",
        Explanation,
        *BODY,
        "invalid_rule",
        "unknown_rule",
        examples=["trial_matched", "trial_failed"],
    ),
)
async def try_rule(request: Request) -> Response:
    wanted = await read_json(request, TrialRequest, limit_bytes=LIMIT_BYTES + _RECORD_BYTES)
    return encoded(await parts_of(request).rule_trials.run(wanted))


@router.post(
    "/v1/rules/{name}/backtest",
    summary="Try a rule on the past",
    description="Matches the records of the past hours, in a lane that slows nobody down, and tells how often the rule "
    "would have held and how many messages each destination would have had. A rule that comes with the request is "
    "tried in the place of the one of this name, which there need not be.",
    openapi_extra=takes(BacktestRequest, examples=["backtest_request", "backtest_request_of_a_change"]),
    responses=answers(
        200,
        "What it would have done.",
        Backtest,
        *BODY,
        "invalid_rule",
        "unknown_rule",
        "overloaded",
        "unavailable",
        examples=["backtest"],
    ),
)
async def backtest_rule(request: Request, name: RuleName) -> Response:
    wanted = await read_json(request, BacktestRequest, limit_bytes=LIMIT_BYTES)
    parts = parts_of(request)
    if wanted.rule is None:
        rule, version = parts.rules.get(name)
        return encoded(await parts.backtests.run(rule, version, wanted))
    rule = await parts.rules.admitted_as(name, wanted.rule, "body.rule")
    return encoded(await parts.backtests.run(rule, None, wanted))
