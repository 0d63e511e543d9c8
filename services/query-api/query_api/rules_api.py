"""The rules over HTTP: read with the scope read, written with the scope rules."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from common.contracts import Scope
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from query_api.documentation import BODY, answers, choices, takes
from query_api.parts import parts_of
from query_api.rule_views import RuleChange, RulePage, RuleRequest, RuleView, view_rule

LIMIT_BYTES: Final = 4 * 1024 * 1024  # far more than a rule may have: what is too large is told by its name

reading = APIRouter(tags=["rules"], dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters)])
writing = APIRouter(tags=["rules"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])

RuleName = Annotated[str, Path(description="The rule's name.", openapi_examples=choices(one="refunds"))]
Limit = Annotated[
    int, Query(ge=1, le=1000, description="How many rules at most.", openapi_examples=choices(a_hundred=100))
]
Cursor = Annotated[
    str, Query(description="The next_cursor of the page before.", openapi_examples=choices(behind_this="refunds"))
]


@reading.get(
    "/v1/rules",
    summary="List the rules",
    description="By name, page by page.",
    responses=answers(200, "A page of rules.", RulePage, examples=["rules"]),
)
async def list_rules(request: Request, limit: Limit = 100, cursor: Cursor = "") -> Response:
    found = parts_of(request).rules.page(cursor, limit + 1)
    items = [view_rule(*entry) for entry in found[:limit]]
    return encoded(RulePage(items=items, next_cursor=items[-1].name if len(found) > limit else None))


@reading.get(
    "/v1/rules/{name}",
    summary="Look at a rule",
    description="What it looks for, and what it then does about it.",
    responses=answers(200, "The rule.", RuleView, "unknown_rule", examples=["rule"]),
)
async def get_rule(request: Request, name: RuleName) -> Response:
    return encoded(view_rule(*parts_of(request).rules.get(name)))


@writing.post(
    "/v1/rules",
    status_code=201,
    summary="Make a rule",
    description="It is checked and timed on sample texts first. Within a second of the answer every record that comes "
    "is matched against it.",
    openapi_extra=takes(RuleRequest, examples=["rule_request", "rule_request_in_full"]),
    responses=answers(
        201,
        "The rule, and where to find it in `Location`.",
        RuleView,
        *BODY,
        "invalid_rule",
        "rule_exists",
        "too_many_rules",
        "unavailable",
        examples=["rule"],
    ),
)
async def make_rule(request: Request) -> Response:
    body = await read_json(request, Any, limit_bytes=LIMIT_BYTES)
    entry = await parts_of(request).rules.make(body)
    return encoded(view_rule(*entry), 201, {"Location": f"/v1/rules/{entry.value.name}"})


@writing.put(
    "/v1/rules/{name}",
    summary="Change a rule",
    description="The body is the whole rule as it shall be, with or without its name. A text that was alerted before "
    "is alerted anew only if what is looked for has changed.",
    openapi_extra=takes(RuleChange, examples=["rule_change", "rule_disabled"]),
    responses=answers(
        200,
        "The rule as it is now.",
        RuleView,
        *BODY,
        "invalid_rule",
        "unknown_rule",
        "unavailable",
        examples=["changed_rule"],
    ),
)
async def change_rule(request: Request, name: RuleName) -> Response:
    body = await read_json(request, Any, limit_bytes=LIMIT_BYTES)
    return encoded(view_rule(*await parts_of(request).rules.change(name, body)))


@writing.delete(
    "/v1/rules/{name}",
    summary="Delete a rule",
    description="No record is matched against it from now on; its alerts stay.",
    responses=answers(200, "The rule as it was.", RuleView, "unknown_rule", "unavailable", examples=["rule"]),
)
async def delete_rule(request: Request, name: RuleName) -> Response:
    return encoded(view_rule(*await parts_of(request).rules.delete(name)))
