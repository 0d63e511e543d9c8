"""Read your own write: an answer that waits until a store has taken in what a receipt stands for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Query, Request
from pydantic import Field

from common.contracts import position_id
from common.errors import Refused, TryLater
from common.receipts import Offsets, decode_receipt, of_records
from query_api.documentation import choices
from query_api.parts import Parts, parts_of

_FIRST_WAIT_S: Final = 0.005
_LONGEST_WAIT_S: Final = 0.05
_SCAN_WAIT_S: Final = 0.25  # the scanner tells every two seconds how far it is
_GRACE_S: Final = 1.0  # who waits is told which partition lags, unless Kafka itself hangs
_MAX_TIMEOUT_MS: Final = 30_000

PositionOf = Callable[[str], Awaitable[int | None]]
"""Answers the next offset that a store will read, by `position_id`; None where it has read nothing."""

WaitFor = Annotated[
    Annotated[str, Field(json_schema_extra={"format": "receipt"})] | None,
    Query(
        description="The receipt that the answer to a sending gave: answer only once the store has taken in those "
        "records. It does not promise that their versions won.",
        openapi_examples=choices(after_a_sending="eyJ2IjoxLCJhdCI6eyJyZWNvcmRzLmIiOnsiMiI6NDcxMX19fQ"),
    ),
]
TimeoutMs = Annotated[
    int,
    Query(
        ge=0,
        le=_MAX_TIMEOUT_MS,
        description="How long to wait for it, in milliseconds, before the answer is a 504.",
        openapi_examples=choices(five_seconds=5000),
    ),
]


async def documents_waited_for(request: Request, wait_for: WaitFor = None, timeout_ms: TimeoutMs = 5000) -> None:
    """A dependency that lets a request through once the documents are as new as its receipt."""
    if wait_for is not None:
        await passed(parts_of(request).position.get, of_records(decode_receipt(wait_for)), timeout_ms)


async def rejected_waited_for(request: Request, wait_for: WaitFor = None, timeout_ms: TimeoutMs = 5000) -> None:
    """A dependency that lets a request through once what was refused of a sending is stored, and erasures are done."""
    if wait_for is not None:
        await passed(parts_of(request).position.get, decode_receipt(wait_for), timeout_ms)


async def alerts_waited_for(request: Request, wait_for: WaitFor = None, timeout_ms: TimeoutMs = 5000) -> None:
    """A dependency that lets a request through once all that was found in its receipt's records is stored."""
    if wait_for is not None:
        try:
            async with asyncio.timeout(timeout_ms / 1000 + _GRACE_S):
                await _alerts_passed(parts_of(request), of_records(decode_receipt(wait_for)), timeout_ms)
        except TimeoutError:
            raise TryLater("Kafka did not say in time how far the scanner is") from None


async def _alerts_passed(parts: Parts, offsets: Offsets, timeout_ms: int) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await passed(parts.scanned.get, offsets, timeout_ms, longest_wait_s=_SCAN_WAIT_S)
    left_ms = timeout_ms - round(1000 * (loop.time() - started))
    await passed(parts.position.get, await parts.alert_log.written(), left_ms)


async def passed(
    position_of: PositionOf, offsets: Offsets, timeout_ms: int, *, longest_wait_s: float = _LONGEST_WAIT_S
) -> None:
    """Wait until the positions are past `offsets`.

    Raises:
        Refused: not_yet, when they are not after `timeout_ms`; names the first partition that lags.
        TryLater: the store is away.
    """
    loop = asyncio.get_running_loop()
    deadline, wait_s = loop.time() + timeout_ms / 1000, _FIRST_WAIT_S
    for (topic, partition), offset in offsets.items():
        name = position_id(topic, partition)
        while (position := await position_of(name) or 0) <= offset:
            if loop.time() + wait_s > deadline:
                raise Refused("not_yet", f"{name} stands at {position} in the store, the receipt at {offset}.")
            await asyncio.sleep(wait_s)
            wait_s = min(longest_wait_s, wait_s * 2)
