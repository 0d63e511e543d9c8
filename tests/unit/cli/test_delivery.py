"""Waves on their way: retries, refusals, order."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from common.contracts import Stream
from twinstream.client import Client
from twinstream.errors import CliError, ProblemError
from twinstream.retries import RetryPolicy
from twinstream.sending.delivery import deliver_all
from twinstream.sending.lines import Position
from twinstream.sending.pace import Pace
from twinstream.sending.tally import Refusal, Tally
from twinstream.sending.waves import Outgoing, Wave, WaveSize, lane_of, waves

QUICK = RetryPolicy(patience_s=10, first_wait_s=0.001, longest_wait_s=0.01)


def numbered(count: int, bad: tuple[int, ...] = ()) -> Iterator[Outgoing]:
    """Records with the ids 1, 2, ...; those in `bad` will be refused."""
    for number in range(1, count + 1):
        raw = f'{{"unique_identifier":{number}{",bad" if number in bad else ""}}}'.encode()
        yield Outgoing(Position(number, number), Stream.A, lane_of(str(number)), raw)


class Outcome:
    """Takes down what `deliver_all` tells."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.ends: list[int] = []
        self.refused: list[Refusal] = []

    def done(self, wave: Wave, refused: list[Refusal]) -> None:
        self.ends.append(wave.end.line)
        self.refused.extend(refused)


async def delivered(target, source: Iterator[Wave]) -> Outcome:
    outcome = Outcome()
    async with Client(target, retries=QUICK) as client:
        await deliver_all(client, source, outcome.tally, outcome.done, Pace.unlimited())
    return outcome


def ids(lines: list[bytes]) -> list[int]:
    return [json.loads(line)["unique_identifier"] for line in lines]


async def test_everything_arrives_once(service, target) -> None:
    """And each wave is told of in turn."""
    outcome = await delivered(target, waves(numbered(1_000), WaveSize(lanes=3, records=50)))
    assert sorted(ids(service.accepted)) == list(range(1, 1_001))
    assert (outcome.tally.accepted, outcome.tally.refused) == (1_000, {})
    assert outcome.ends == sorted(outcome.ends)
    assert outcome.ends[-1] == 1_000


async def test_nothing_is_lost_while_ingest_is_away(service, target) -> None:
    """Refusing, overloaded, hanging up in between: every record arrives."""
    service.will_refuse(503, "unavailable", retry_after="0")
    service.will_refuse(429, "overloaded")
    service.will_answer(502, b"<h1>Bad gateway</h1>")
    service.will_hang_up()
    outcome = await delivered(target, waves(numbered(100), WaveSize(lanes=2, records=10)))
    assert sorted(ids(service.accepted)) == list(range(1, 101))
    assert outcome.tally.accepted == 100


async def test_a_wave_leaves_when_the_last_one_is_acknowledged(service, target) -> None:
    """So no record can overtake an earlier one of its id."""
    source = (
        Outgoing(Position(n, n), Stream.A, lane_of("x"), json.dumps({"unique_identifier": n}).encode())
        for n in range(1, 101)
    )
    service.will_refuse(503, "unavailable", retry_after="0")
    await delivered(target, waves(source, WaveSize(lanes=4, records=7)))
    assert ids(service.accepted) == list(range(1, 101))


async def test_refusals_are_told_in_the_order_of_their_lines(target) -> None:
    """With the line each stands in, whichever request carried it."""
    bad = (3, 4, 50, 99)
    outcome = await delivered(target, waves(numbered(100, bad), WaveSize(lanes=3, records=20)))
    assert [refusal.end.line for refusal in outcome.refused] == list(bad)
    assert {refusal.code for refusal in outcome.refused} == {"missing_field"}
    assert outcome.refused[0].raw == b'{"unique_identifier":3,bad}'
    assert outcome.tally.accepted == 96
    assert outcome.tally.refused == {"missing_field": 4}
    assert [example.line for example in outcome.tally.examples["missing_field"]] == [3, 4, 50]


async def test_a_batch_of_which_nothing_is_accepted_is_no_failure(service, target) -> None:
    """Ingest answers 422 to it."""
    outcome = await delivered(target, waves(numbered(3, (1, 2, 3)), WaveSize()))
    assert outcome.tally.refused == {"missing_field": 3}
    assert service.accepted == []


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_record_for_which_a_whole_body_is_refused_is_found(service, target, status: int) -> None:
    """All others of the batch are accepted, in their order."""
    ordinary = service.answer

    def picky(request):
        if b'"unique_identifier":13}' in request.body:
            return service.problem(status, "invalid_json", "byte 7")
        return ordinary(request)

    service.answer = picky
    outcome = await delivered(target, waves(numbered(40), WaveSize(lanes=1)))
    assert [(refusal.end.line, refusal.code) for refusal in outcome.refused] == [(13, "invalid_json")]
    assert outcome.tally.accepted == 39
    accepted = [line for request in service.requests if b":13}" not in request.body for line in request.lines]
    assert ids(accepted) == [n for n in range(1, 41) if n != 13]


@pytest.mark.parametrize("status", [401, 403, 404, 415])
async def test_what_is_not_the_records_fault_ends_the_sending(service, target, status: int) -> None:
    """No record is blamed for a key that is not in force."""
    service.will_refuse(status, "unauthenticated")
    with pytest.raises(ProblemError) as caught:
        await delivered(target, waves(numbered(40), WaveSize(lanes=1)))
    assert caught.value.status == status
    assert service.requests == []


async def test_an_answer_that_counts_other_records_ends_the_sending(service, target) -> None:
    """Rather than to guess which records arrived."""
    service.will_answer(202, b'{"accepted":39,"rejected":0,"errors":[]}')
    with pytest.raises(CliError, match="counts other"):
        await delivered(target, waves(numbered(40), WaveSize(lanes=1)))


async def test_what_came_before_a_source_broke_off_is_delivered(service, target) -> None:
    """Then the error is told."""

    def breaking_off() -> Iterator[Outgoing]:
        yield from numbered(30)
        raise CliError("cut short")

    with pytest.raises(CliError, match="cut short"):
        await delivered(target, waves(breaking_off(), WaveSize(lanes=1, records=20)))
    assert len(service.accepted) == 30


async def test_a_cancelled_sending_leaves_nothing_running(service, target) -> None:
    """As after Ctrl-C while ingest is away."""
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()

    def away(_request):
        loop.call_soon_threadsafe(refused.set)
        return service.problem(503, "unavailable", "away")

    service.answer = away
    sending = asyncio.create_task(delivered(target, waves(numbered(30), WaveSize(lanes=2))))
    async with asyncio.timeout(60):
        await refused.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert {task.get_name() for task in asyncio.all_tasks()} & {"wave"} == set()
