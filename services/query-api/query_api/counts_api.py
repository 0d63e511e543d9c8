"""The rolling counts: how many A or B in a window, at once, step by step, or many questions together."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from common import metrics
from common.contracts import Scope, Stream
from common.errors import Refused
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from common.instants import rfc3339_ms
from common.receipts import decode_receipt, of_records
from query_api.count_questions import Interpreter, Understood
from query_api.count_views import Asked, Batch, Bucket, Count, Counts, Series
from query_api.documentation import BODY, answers, choices, takes
from query_api.parts import Parts, parts_of
from query_api.waiting import TimeoutMs, WaitFor, passed
from windows.counts import Counted, Freshness
from windows.questions import Question, Unit, Window

_LIMIT_BYTES: Final = 512 * 1024
_PROBLEMS: Final = ("unknown_condition", "not_ready", "not_yet", "stale", "unavailable")


async def counts_waited_for(request: Request, wait_for: WaitFor = None, timeout_ms: TimeoutMs = 5000) -> None:
    """A dependency that lets a request through once the windows are as new as its receipt."""
    if wait_for is not None:
        await passed(parts_of(request).count_position.get, of_records(decode_receipt(wait_for)), timeout_ms)


router = APIRouter(
    tags=["counts"],
    dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters), Depends(counts_waited_for)],
)

MaxStaleness = Annotated[
    float | None,
    Query(
        ge=0,
        allow_inf_nan=False,
        description="Rather a 503 than counts that are further behind than so many seconds.",
        openapi_examples=choices(ten_seconds=10),
    ),
]
StepMinutes = Annotated[
    int, Query(ge=1, le=10_080, description="How long a step is.", openapi_examples=choices(an_hour=60))
]


def asked_by_query(  # noqa: PLR0913  # one for each query parameter
    stream: Annotated[Stream, Path(description="Which stream is counted.", openapi_examples=choices(b="b", a="a"))],
    *,
    hours: Annotated[
        float | None,
        Query(
            description="The past so many hours, fractions included, as far back as windows reach; 24 when neither "
            "this nor `from` is given.",
            openapi_examples=choices(a_day=24, half_an_hour=0.5),
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Query(
            alias="from",
            description="From when on, instead of `hours`: RFC 3339 with an offset, or epoch milliseconds.",
            openapi_examples=choices(a_moment="2026-11-23T08:00:00Z"),
        ),
    ] = None,
    to: Annotated[
        str | None,
        Query(
            description="Up to when, with `from`; a window without it is open towards the future.",
            openapi_examples=choices(a_moment="2026-11-23T20:00:00Z"),
        ),
    ] = None,
    unit: Annotated[
        Unit | None,
        Query(
            description="`items` counts ids, by the event time of their newest version: one that is sent again moves "
            "forward. `events` counts records, repeats included, in windows of whole minutes. A series, and a window "
            "that ends before now, counts events by default, anything else items.",
            openapi_examples=choices(items="items", events="events"),
        ),
    ] = None,
    condition: Annotated[
        str | None,
        Query(description="Only items whose newest version holds this condition.", openapi_examples=choices(one="big")),
    ] = None,
    a_id: Annotated[str | None, Query(description="Only the B of this A.", openapi_examples=choices(one="a-1"))] = None,
    allow_partial: Annotated[
        bool,
        Query(
            description="Count by a condition that has not seen every record yet, instead of a 409.",
            openapi_examples=choices(yes=True),
        ),
    ] = False,
) -> Asked:
    """The question that the parameters of a route make."""
    return Asked(
        stream=stream,
        hours=hours,
        from_=from_,
        to=to,
        unit=unit,
        condition=condition,
        a_id=a_id,
        allow_partial=allow_partial,
    )


InQuery = Annotated[Asked, Depends(asked_by_query)]


@router.get(
    "/v1/counts/{stream}",  # noqa: FAST003  # `asked_by_query` takes it
    summary="Count A or B in the past N hours",
    description="How many there are in a window that reaches from any moment within the horizon to now, or to another "
    "moment: all of them, those of one A, those that hold a condition, or both.",
    responses=answers(
        200, "The count.", Count, *_PROBLEMS, examples=["count_of_items", "count_of_a_condition", "count_of_events"]
    ),
)
async def count(request: Request, asked: InQuery, max_staleness_seconds: MaxStaleness = None) -> Response:
    (answer,) = await _counted(parts_of(request), [asked], ["query"], max_staleness_seconds)
    return encoded(answer)


@router.get(
    "/v1/counts/{stream}/series",  # noqa: FAST003  # `asked_by_query` takes it
    summary="Count A or B step by step",
    description="The same count for each step of the window, the oldest first, ready for a plot. Windows and steps "
    "are whole minutes.",
    responses=answers(200, "The counts.", Series, *_PROBLEMS, examples=["series"]),
)
async def series(
    request: Request, asked: InQuery, step_minutes: StepMinutes = 60, max_staleness_seconds: MaxStaleness = None
) -> Response:
    parts = parts_of(request)
    now_ms = parts.clock.now_ms()
    interpreter = Interpreter(parts.conditions.find, parts.conditions.all, now_ms)
    understood = interpreter.understand(asked, await parts.counts.known(asked.stream), "query", series=True)
    windows = interpreter.steps(understood.question.window, step_minutes, "query")
    counted = await _ask(parts, [understood.question.during(window) for window in windows])
    freshness = _fresh_enough(counted, asked.stream, now_ms, max_staleness_seconds)
    about = _about(understood, freshness, interpreter, now_ms)
    buckets = [Bucket(start=rfc3339_ms(w.start_ms), count=n) for w, n in zip(windows, counted.counts, strict=True)]
    return encoded(Series(items=buckets, step_minutes=step_minutes, **about))


@router.post(
    "/v1/counts/batch",
    summary="Ask up to 100 counts at once",
    description="Each question has the fields of `GET /v1/counts/{stream}`, and its stream. They are answered in one "
    "round trip; one that does not fit refuses all of them.",
    openapi_extra=takes(Batch, examples=["questions"]),
    responses=answers(200, "An answer to each.", Counts, *BODY, *_PROBLEMS, examples=["counts"]),
)
async def batch(request: Request, max_staleness_seconds: MaxStaleness = None) -> Response:
    questions = (await read_json(request, Batch, limit_bytes=_LIMIT_BYTES)).questions
    places = [f"body.questions[{n}]" for n in range(len(questions))]
    return encoded(Counts(items=await _counted(parts_of(request), questions, places, max_staleness_seconds)))


async def _counted(
    parts: Parts, questions: Sequence[Asked], places: Sequence[str], max_staleness_s: float | None
) -> list[Count]:
    now_ms = parts.clock.now_ms()
    interpreter = Interpreter(parts.conditions.find, parts.conditions.all, now_ms)
    understood = [
        interpreter.understand(asked, await parts.counts.known(asked.stream), at)
        for asked, at in zip(questions, places, strict=True)
    ]
    counted = await _ask(parts, [one.question for one in understood])
    return [
        Count(
            count=n,
            **_about(
                one,
                _fresh_enough(counted, one.question.stream, now_ms, max_staleness_s),
                interpreter,
                now_ms,
            ),
        )
        for one, n in zip(understood, counted.counts, strict=True)
    ]


async def _ask(parts: Parts, questions: Sequence[Question]) -> Counted:
    with metrics.store_call("query-api", "count"):
        return await parts.counts.ask(questions)


def _fresh_enough(counted: Counted, stream: Stream, now_ms: int, max_staleness_s: float | None) -> Freshness:
    freshness = counted.freshness[stream]
    lag_s = freshness.lag_s(now_ms)
    if max_staleness_s is not None and (lag_s is None or lag_s > max_staleness_s):
        behind = "of unknown age" if lag_s is None else f"{lag_s:.1f} s behind"
        raise Refused("stale", f"The counts of stream {stream} are {behind}; you would take {max_staleness_s:g} s.")
    return freshness


def _about(understood: Understood, freshness: Freshness, interpreter: Interpreter, now_ms: int) -> dict[str, Any]:
    """What an answer says besides the count."""
    question = understood.question
    window: Window = question.window.aligned() if question.unit is Unit.EVENTS else question.window
    return {
        "unit": question.unit,
        "hours": interpreter.hours(window),
        "window_start": rfc3339_ms(window.start_ms),
        "window_end": None if window.end_ms is None else rfc3339_ms(window.end_ms),
        "condition_revision": understood.revision,
        "as_of": None if freshness.as_of_ms is None else rfc3339_ms(freshness.as_of_ms),
        "lag_seconds": freshness.lag_s(now_ms),
        "complete": understood.complete,
        "late": freshness.late,
    }
