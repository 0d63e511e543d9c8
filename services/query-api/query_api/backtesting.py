"""The lane of a backtest: a process of its own, behind everything else, that reads the log again and ends.

`python -m query_api.backtesting` takes a `Job` on its standard input and writes a `Backtest` to its standard output.
Not even a matcher that keeps the interpreter to itself can slow the query API down from here.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import uvloop

from common.contracts import RECORDS, Stream
from common.destinations import Destination, Silence
from common.errors import Refused, TryLater
from common.instants import rfc3339_ms
from common.kafka.batches import Entry, Partition
from common.kafka.records import read_record
from common.kafka.replay import Replay
from common.kafka.topics import count_partitions
from common.process import EX_TEMPFAIL
from common.settings import KafkaSettings
from common.telemetry import configure_logging
from matching.matcher import Matcher
from matching.rules import Rule, VersionedRule
from query_api.backtest_views import Backtest
from query_api.hindsight import Hindsight, forecasts

_BATCH_RECORDS: Final = 5_000
_NICENESS: Final = 10


class Job(msgspec.Struct, kw_only=True):
    """What a backtest is told."""

    kafka: dict[str, Any]
    rule: Rule
    version: int | None
    since_ms: int
    until_ms: int
    max_records: int
    timeout_seconds: int
    destinations: list[Destination]
    silences: list[Silence]


class Stretch(NamedTuple):
    """Messages of a partition, from `start` on and before `stop`."""

    partition: Partition
    start: int
    stop: int


def newest(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """The ends of `stretches`, `most` messages in all, the same share of each."""
    total = sum(stretch.stop - stretch.start for stretch in stretches)
    if total <= most:
        return list(stretches)
    return [one._replace(start=one.stop - (one.stop - one.start) * most // total) for one in stretches]


async def backtest(job: Job) -> Backtest:
    """Carry `job` out, for as long as it may take.

    Raises:
        TryLater: Kafka is away.
    """
    settings = KafkaSettings(**job.kafka)
    hindsight = Hindsight(Matcher.compile([VersionedRule(job.rule, job.version or 0)]))
    deadline = time.monotonic() + job.timeout_seconds
    replay = Replay(settings)
    try:
        await replay.start()
        asked = await _stretches(settings, replay, job)
        wanted = newest(asked, job.max_records)
        lanes = [_Lane(replay, stretch, hindsight) for stretch in wanted if stretch.start < stretch.stop]
        while (behind := [lane for lane in lanes if lane.left]) and time.monotonic() < deadline:
            await max(behind, key=lambda lane: lane.left).step()
    finally:
        await replay.stop()
    complete = wanted == asked and not behind
    starts = [lane.first_ms for lane in lanes if lane.first_ms is not None]
    since_ms = job.since_ms if complete else max(starts, default=job.since_ms)
    return _told(job, hindsight, since_ms=since_ms, complete=complete)


class _Lane:
    """One partition, read from its end backwards in batches: what the time does not suffice for is the oldest."""

    def __init__(self, replay: Replay, stretch: Stretch, hindsight: Hindsight) -> None:
        self._replay = replay
        self._stretch = stretch
        self._hindsight = hindsight
        self._stream = next(stream for stream, topic in RECORDS.items() if topic == stretch.partition.topic)
        self.first_ms: int | None = None
        """When the oldest message that was looked at was written."""

    @property
    def left(self) -> int:
        return self._stretch.stop - self._stretch.start

    async def step(self) -> None:
        """Look at the last messages of the stretch that were not looked at yet."""
        partition, start, stop = self._stretch
        begin = at = max(start, stop - _BATCH_RECORDS)
        first: int | None = None
        while at < stop and (entries := await self._replay.read(partition, at, stop - at)):
            within = [entry for entry in entries if entry.offset < stop]
            for entry in within:
                self._take(entry)
            first = within[0].timestamp if within and first is None else first
            at = entries[-1].offset + 1
        self.first_ms = first or self.first_ms
        self._stretch = self._stretch._replace(stop=begin)

    def _take(self, entry: Entry) -> None:
        try:
            record = read_record(self._stream, entry)
        except Refused:
            return  # it was put aside when it came
        if not isinstance(record, str):
            self._hindsight.take(self._stream, record)


async def _stretches(settings: KafkaSettings, replay: Replay, job: Job) -> list[Stretch]:
    found = []
    for topic in (RECORDS[stream] for stream in Stream if stream in job.rule.streams):
        for number in range(await count_partitions(settings, topic)):
            partition = Partition(topic, number)
            start = await replay.first_since(partition, job.since_ms)
            _, stop = await replay.bounds(partition)
            found.append(Stretch(partition, min(start, stop), stop))
    return found


def _told(job: Job, hindsight: Hindsight, *, since_ms: int, complete: bool) -> Backtest:
    alerts = hindsight.alerts
    return Backtest(
        rule=job.rule.name,
        version=job.version,
        window_start=rfc3339_ms(since_ms),
        window_end=rfc3339_ms(job.until_ms),
        complete=complete,
        records=hindsight.records,
        hits=hindsight.hits.total(),
        alerts=len(alerts),
        hours=hindsight.hours(),
        samples=hindsight.samples,
        destinations=forecasts(job.rule, alerts, {one.name: one for one in job.destinations}, job.silences),
    )


def main() -> None:
    """Exits with 75 when Kafka is away."""
    os.nice(_NICENESS)
    configure_logging("backtest", "WARNING")
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        answer = uvloop.run(backtest(job))
    except TryLater as error:
        sys.stderr.write(str(error))
        sys.exit(EX_TEMPFAIL)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
