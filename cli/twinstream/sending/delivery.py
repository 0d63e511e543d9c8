"""Waves on their way to ingest."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from common.concurrency import all_of
from twinstream.client import Client, Ingested
from twinstream.errors import CliError, ProblemError, RecordError
from twinstream.sending.lines import START
from twinstream.sending.pace import Pace
from twinstream.sending.tally import Refusal, Tally
from twinstream.sending.waves import Batch, Outgoing, Wave

_OF_RECORDS: Final = frozenset({400, 413, 422})  # what is wrong with a body may be the fault of one record in it


class Delivered(NamedTuple):
    """What became of a batch."""

    accepted: int
    refused: list[Refusal]


async def deliver_all(
    client: Client, source: Iterator[Wave], tally: Tally, done: Callable[[Wave, list[Refusal]], None], pace: Pace
) -> None:
    """Deliver wave after wave, counting into `tally`; `done` hears of each that is wholly acknowledged.

    The next wave is read and packed while one is in flight.

    Raises:
        CliError: the source broke off or ingest cannot be spoken to; all waves that `done` heard of are safe.
    """
    in_flight: asyncio.Task[None] | None = None

    async def deliver_one(wave: Wave) -> None:
        if wave.end is START:  # a silence of the source
            return
        await pace.before(wave.records)
        delivered = await all_of(deliver(client, batch) for batch in wave.batches.values())
        refused = sorted([*wave.refused, *(refusal for one in delivered for refusal in one.refused)])
        tally.add(sum(one.accepted for one in delivered), refused)
        done(wave, refused)

    try:
        while (wave := await asyncio.to_thread(next, source, None)) is not None:
            if in_flight is not None:
                await in_flight
            in_flight = asyncio.create_task(deliver_one(wave), name="wave")
    except asyncio.CancelledError:
        if in_flight is not None:
            in_flight.cancel()
        raise
    except Exception:  # the source broke off: what is in flight stood before that
        if in_flight is not None:
            await in_flight
        raise
    if in_flight is not None:
        await in_flight


async def deliver(client: Client, batch: Batch) -> Delivered:
    """Deliver a batch; when its body is refused as a whole, find out by halves which record is to blame.

    Raises:
        CliError: ingest cannot be spoken to.
    """
    try:
        answer = await client.ingest(batch.stream, b"\n".join(record.raw for record in batch.records))
    except ProblemError as problem:
        if problem.code == "records_refused":
            answer = Ingested(0, len(problem.errors), problem.errors)
        elif problem.status not in _OF_RECORDS:
            raise
        elif len(batch.records) == 1:
            error = RecordError(0, problem.code or str(problem.status), problem.detail or problem.title)
            return Delivered(0, [_refusal(batch.records[0], error)])
        else:
            return await _by_halves(client, batch)
    if answer.accepted + answer.rejected != len(batch.records):
        counted = f"{len(batch.records):,} records were sent, {answer.accepted:,} accepted and {answer.rejected:,} not"
        raise CliError("Ingest counts other than we do", f"{counted}: is the version of the services another one?")
    return Delivered(answer.accepted, [_refusal(batch.records[error.index], error) for error in answer.errors])


async def _by_halves(client: Client, batch: Batch) -> Delivered:
    middle = len(batch.records) // 2
    first = await deliver(client, Batch(batch.stream, batch.records[:middle]))
    second = await deliver(client, Batch(batch.stream, batch.records[middle:]))  # after the first: ids keep their order
    return Delivered(first.accepted + second.accepted, [*first.refused, *second.refused])


def _refusal(record: Outgoing, error: RecordError) -> Refusal:
    return Refusal(record.end, record.stream, error.code, error.detail, error.field, record.raw)
