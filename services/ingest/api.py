"""The edge of ingest: one route per stream takes records and answers once the log has them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import Depends, FastAPI, Request, Response

from common.contracts import Scope, Stream
from common.http.auth import caller_of, requires
from common.http.bodies import encoded
from common.http.direct import Direct
from common.http.parameters import only_known_parameters
from common.http.problems import problem
from common.telemetry import current_traceparent
from ingest.bodies import Body, Form, Split, body_too_large, encoding_of, form_of, split
from ingest.budget import Budget, Share
from ingest.documentation import documentation_of
from ingest.idempotency import Given, IdempotencyKeys, Keyed, fingerprint_of
from ingest.intake import Answer, Intake

_PIECE: Final = 16 * 1024  # of a body, taken in before other requests have their turn
_LARGE: Final = 256 * 1024  # a body to be split in a thread: up to here that takes less than a millisecond


@dataclass(frozen=True)
class Limits:
    """How much one request may hold, and all of them together."""

    body_bytes: int
    records: int
    in_hand: Budget


def add_routes(app: FastAPI, intake: Intake, idempotency: IdempotencyKeys, limits: Limits) -> None:
    """Put `POST /v1/streams/{a,b}/records` into `app`."""
    for stream in Stream:
        app.router.add_api_route(
            f"/v1/streams/{stream}/records",
            _route(stream, intake, idempotency, limits),
            methods=["POST"],
            dependencies=[Depends(requires(Scope.INGEST)), Depends(only_known_parameters)],
            response_class=Response,
            route_class_override=Direct,
            **documentation_of(stream),
        )


def _route(
    stream: Stream, intake: Intake, idempotency: IdempotencyKeys, limits: Limits
) -> Callable[..., Awaitable[Response]]:
    async def send_records(request: Request) -> Response:
        caller, idempotency_key = caller_of(request), request.headers.get("idempotency-key")
        structlog.contextvars.bind_contextvars(stream=stream, key_id=caller.id)
        form = form_of(request.headers.get("content-type", ""))
        with limits.in_hand.share() as share:
            body = await _whole(request, limits.body_bytes, share)
            records = await _split(form, body, limits.records)

            async def take(first_us: int) -> Response:
                return _response(await intake.take(stream, records, first_us, current_traceparent() or ""))

            first_us = intake.stamp(records)
            if idempotency_key is None:
                return await take(first_us)
            keyed = Keyed(caller.id, idempotency_key, fingerprint_of(stream, form.name, body), first_us)
            return await _once(idempotency, keyed, take)

    return send_records


async def _once(idempotency: IdempotencyKeys, keyed: Keyed, take: Callable[[int], Awaitable[Response]]) -> Response:
    """The answer of `take`, or the one that it gave before under the same key."""
    held = await idempotency.reserve(keyed)
    if isinstance(held, Given):
        return Response(held.body, held.status, {"Idempotency-Replayed": "true"}, held.media_type)
    try:
        answer = await take(held.first_us)
    except BaseException:
        await idempotency.release(held)
        raise
    await idempotency.finish(held, Given(answer.status_code, answer.media_type or "", bytes(answer.body)))
    return answer


async def _split(form: Form, body: bytes, max_records: int) -> Split:
    """The raw records in a request's body."""
    if len(body) <= _LARGE:
        return split(form, body, max_records)
    return await asyncio.to_thread(split, form, body, max_records)


async def _whole(request: Request, limit_bytes: int, share: Share) -> bytes:
    """The request's body, decompressed; no more of it is read than the limit allows."""
    encoding = encoding_of(",".join(request.headers.getlist("content-encoding")))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise body_too_large(limit_bytes)
    body = Body(encoding, limit_bytes)
    async for chunk in request.stream():
        for start in range(0, len(chunk), _PIECE):
            if start:
                await asyncio.sleep(0)
            body.feed(chunk[start : start + _PIECE])
            share.grow_to(body.size)
    return body.whole()


def _response(answer: Answer) -> Response:
    structlog.contextvars.bind_contextvars(accepted=answer.accepted, rejected=answer.rejected)
    if answer.rejected == 0:
        return encoded(answer, 202)
    if answer.accepted > 0:
        return encoded(answer, 207)
    first = answer.errors[0]
    several = f"All {answer.rejected:,} records were refused; the first, index 0: {first.detail}"
    return problem(
        "records_refused",
        f"The only record was refused: {first.detail}" if answer.rejected == 1 else several,
        accepted=0,
        rejected=answer.rejected,
        receipt=answer.receipt,
        errors=answer.errors,
    )
