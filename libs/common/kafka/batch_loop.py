"""The loop that every worker runs: read a batch per partition, hand it to the handler, go on from where it got to.

The handler's store keeps the position, so a batch and the position behind it move together; Kafka's group offsets are
written only so that the usual tools show the lag. Errors tell the loop what to do:

    TryLater     the store is away: pause that partition, wait a little longer each time, read the same batch again
    Reposition   someone else moved the position, or the store lost writes: ask the store again and seek there
    any other    a fault of ours: the process ends with it, and whoever supervises starts it again
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from common import metrics, spans
from common.concurrency import all_of, pause
from common.errors import Reposition, TryLater
from common.kafka.batches import Batch, Entry, Handler, Partition
from common.kafka.connection import client_options, close_consumer, translated
from common.kafka.progress import Progress, now
from common.kafka.starting import started
from common.settings import KafkaSettings

log = structlog.get_logger()

_POLL_MS: Final = 500
# aiokafka has one request for messages under way at a time, for those partitions alone of which it holds none just
# then. While that one waits at the broker for quiet partitions, what comes in the others is not asked for.
_FETCH_WAIT_MS: Final = 50
_FIRST_POLL_MS: Final = 10
_REVIEW_EVERY_S: Final = 2.0
_REVIEW_TIMEOUT_S: Final = 2.0  # aiokafka commits for as long as it takes; people's tools are not worth a standstill
# How long a rebalance waits for the batch that a member has in hand: less than the others' requests to join may take.
_REBALANCE_PART: Final = 0.8
_LOGGED_TRACES: Final = 100


class BatchLoop:
    """Feeds a `Handler` from topics as one member of a consumer group."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        topics: Collection[str],
        handler: Handler,
        max_records: int = 5_000,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topics = topics
        self._prefix = settings.topic_prefix
        self._handler = handler
        self._max_records = max_records
        self._progress: dict[Partition, Progress] = {}
        self._applying = asyncio.Lock()
        self._joined = False
        self._log_trouble: str | None = None
        self._log_away = Progress()
        self._consumer: Any  # made by `run`: one that is never started complains when it goes

    def problem(self) -> str | None:
        """Readiness: what keeps this worker from its work, or None. Any thread may ask."""
        if not self._joined:
            return "waiting for partitions"
        troubles = (progress.trouble for progress in list(self._progress.values()))
        return next((trouble for trouble in troubles if trouble), self._log_trouble)

    def placed(self) -> dict[Partition, int]:
        """The partitions that are being read, and the offset up to which each is applied."""
        return {partition: progress.position for partition, progress in self._progress.items() if progress.placed}

    def caught_up_ms(self) -> dict[Partition, int]:
        """For partitions of which nothing is left to apply: when Kafka last said so, in ms since the epoch."""
        caught_up: dict[Partition, int] = {}
        for partition, position in self.placed().items():
            tp = self._tp(partition)
            if tp in self._consumer.assignment():
                end, heard = self._consumer.highwater(tp), self._consumer.last_poll_timestamp(tp)
                if end is not None and heard is not None and position >= end:
                    caught_up[partition] = heard
        return caught_up

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; the batch in hand then is finished first.

        Raises:
            TryLater: Kafka cannot be reached at the start; later outages are waited out.
        """
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            group_id=self._prefix + self._group,
            group_instance_id=self._settings.instance or None,  # see docs/decisions/0014
            session_timeout_ms=self._settings.session_timeout_ms,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # for a position that is no longer, or not yet, in the log
            max_partition_fetch_bytes=self._settings.max_message_bytes,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            rebalance_timeout_ms=int(self._settings.kafka_timeout_ms * _REBALANCE_PART),
        )
        try:
            await started(self._consumer, self._settings, f"the start of {self._group}")
            self._consumer.subscribe([self._prefix + topic for topic in self._topics], listener=_Assignment(self))
            await self._work(stop)
        finally:
            await self._commit()
            await close_consumer(self._consumer)
            self._joined = False

    async def _work(self, stop: asyncio.Event) -> None:
        review_at = now() + _REVIEW_EVERY_S
        while not stop.is_set():
            await self._place()
            self._resume()
            fetched = await self._fetch(stop)
            began = now()
            async with self._applying:
                await all_of([self._apply(self._partition(tp), entries) for tp, entries in fetched.items()])
            if now() >= review_at:
                await self._review()
                review_at = now() + _REVIEW_EVERY_S
            if fetched:
                await self._gather(began, stop)

    async def _gather(self, began: float, stop: asyncio.Event) -> None:
        """Let a little come together before the next read; what comes after a silence is read at once all the same."""
        wait_s = began + self._settings.pace_ms / 1000 - now()
        if wait_s > 0:
            await pause(stop, wait_s)

    # --- placing: from where to read ------------------------------------------------------------------------------

    async def _place(self) -> None:
        """Seek partitions that are new, or whose position moved, to where the store says."""
        unplaced = [p for p, progress in self._progress.items() if not progress.placed and progress.resume_at <= now()]
        if not unplaced:
            return
        try:
            positions = await self._handler.positions(unplaced)
        except TryLater as error:
            for partition in unplaced:
                self._wait(partition, error)
            return
        for partition in unplaced:
            self._seek(partition, positions.get(partition, 0))

    def _seek(self, partition: Partition, position: int) -> None:
        progress, tp = self._progress.get(partition), self._tp(partition)
        if progress is None or tp not in self._consumer.assignment():
            return  # taken away while the store was asked
        progress.moved_to(position)
        progress.placed = True
        self._consumer.seek(tp, position)
        self._consumer.resume(tp)
        log.info("partition_placed", topic=partition.topic, partition=partition.number, position=position)

    def _displace(self, partition: Partition, detail: str) -> None:
        """Let the store be asked anew where `partition` stands."""
        progress = self._progress.get(partition)
        if progress is None:
            return
        log.warning("position_moved", topic=partition.topic, partition=partition.number, detail=detail)
        progress.placed = False
        progress.back_off()  # a store that contradicts itself must not be asked in a tight circle
        self._pause(partition)

    # --- reading and applying -------------------------------------------------------------------------------------

    async def _fetch(self, stop: asyncio.Event) -> Mapping[TopicPartition, Sequence[Entry]]:
        """What is there to read; nothing when nothing came for a while, or when it is time to stop.

        aiokafka waits for the group's assignment without any limit, hence the race with `stop`.
        """
        fetching = asyncio.ensure_future(
            self._consumer.getmany(timeout_ms=self._poll_ms(), max_records=self._max_records)
        )
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((fetching, stopping), return_when=asyncio.FIRST_COMPLETED)
            with translated(f"the reading of {self._group}"):
                fetched: Mapping[TopicPartition, Sequence[Entry]] = fetching.result() if fetching.done() else {}
        except TryLater as error:
            self._log_trouble = str(error)
            self._log_away.back_off()  # not every failure takes its time: one that comes at once would come without end
            log.warning("log_away", detail=str(error), wait_s=self._log_away.backoff_s)
            await pause(stop, self._log_away.backoff_s)
            return {}
        finally:
            fetching.cancel()
            stopping.cancel()
        self._log_away = Progress()
        return fetched

    async def _apply(self, partition: Partition, entries: Sequence[Entry]) -> None:
        progress = self._progress.get(partition)
        if progress is None or not progress.placed or not entries:
            return
        batch = Batch(partition, progress.position, entries)
        if entries[0].offset != batch.position:
            _log_gap(batch)
        begun = spans.begin_batch(batch.traceparents()) if spans.is_listened_to() else ()
        started = time.perf_counter()
        try:
            await self._handler.apply(batch)
        except TryLater as error:
            self._wait(partition, error)
            _tell(self._group, batch, begun, time.perf_counter() - started, failed=True)
        except Reposition as error:
            self._displace(partition, str(error))
            _tell(self._group, batch, begun, time.perf_counter() - started, failed=True)
        else:
            progress.moved_to(batch.next_position)
            metrics.APPLY_BATCH.labels(self._group).observe(len(entries))
            took_s = time.perf_counter() - started
            _log_applied(batch, took_s)
            _tell(self._group, batch, begun, took_s)

    # --- waiting --------------------------------------------------------------------------------------------------

    def _wait(self, partition: Partition, error: TryLater) -> None:
        """Keep `partition` still for a while and read the same messages again afterwards."""
        progress = self._progress.get(partition)
        if progress is None:
            return
        progress.back_off()
        progress.trouble = str(error)
        metrics.STORE_FAILURES.labels(self._group).inc()
        log.warning(
            "store_away",
            topic=partition.topic,
            partition=partition.number,
            detail=str(error),
            wait_s=progress.backoff_s,
        )
        self._pause(partition)
        if progress.placed and self._tp(partition) in self._consumer.assignment():
            self._consumer.seek(self._tp(partition), progress.position)

    def _pause(self, partition: Partition) -> None:
        if self._tp(partition) in self._consumer.assignment():
            self._consumer.pause(self._tp(partition))

    def _resume(self) -> None:
        """Let partitions whose wait is over be read again."""
        paused = self._consumer.paused()
        for partition, progress in self._progress.items():
            if progress.placed and progress.resume_at <= now() and self._tp(partition) in paused:
                self._consumer.resume(self._tp(partition))

    def _poll_ms(self) -> int:
        """Wait for messages, though no longer than until the next partition's wait is over."""
        if not self._joined:
            return _FIRST_POLL_MS  # the first partitions come while aiokafka waits, and must be placed
        waits_ms = [int((progress.resume_at - now()) * 1000) + 1 for progress in self._progress.values()]
        return min([_POLL_MS, *(wait_ms for wait_ms in waits_ms if wait_ms > 0)])

    # --- reviewing, every few seconds -----------------------------------------------------------------------------

    async def _review(self) -> None:
        """Tell how far we are, and make sure that the store agrees: nothing may arrive that would show it."""
        await self._commit()
        await self._measure_lag()
        await self._compare()

    async def _commit(self) -> None:
        """Tell Kafka the positions; for people's tools only, so a failure is no matter."""
        moved = {
            self._tp(partition): progress.position
            for partition, progress in self._progress.items()
            if progress.placed and progress.position != progress.committed
        }
        if not moved:
            return
        try:
            async with asyncio.timeout(_REVIEW_TIMEOUT_S):
                await self._consumer.commit(moved)
        except (KafkaError, OSError) as error:
            log.debug("offsets_not_committed", detail=repr(error))
            return
        for tp, position in moved.items():
            if progress := self._progress.get(self._partition(tp)):
                progress.committed = position

    async def _measure_lag(self) -> None:
        placed = [self._tp(partition) for partition, progress in self._progress.items() if progress.placed]
        if not placed:
            return
        try:
            async with asyncio.timeout(_REVIEW_TIMEOUT_S):
                starts = await self._consumer.beginning_offsets(placed)
                ends = await self._consumer.end_offsets(placed)
        except (KafkaError, OSError) as error:
            self._log_trouble = f"Kafka does not answer: {type(error).__name__}"
            return
        self._log_trouble = None
        for tp in placed:
            partition = self._partition(tp)
            if progress := self._progress.get(partition):
                # What retention took away before it was read is nobody's backlog.
                lag = max(0, ends[tp] - max(progress.position, starts[tp]))
                metrics.LAG.labels(self._group, *partition).set(lag)

    async def _compare(self) -> None:
        """Notice a store that came back without its last writes, though no message may come for hours."""
        believed = {
            partition: progress.position
            for partition, progress in self._progress.items()
            if progress.placed and not progress.backoff_s
        }
        if not believed:
            return
        try:
            stored = await self._handler.positions(believed)
        except TryLater as error:
            self._set_trouble(believed, str(error))
            return
        self._set_trouble(believed, None)
        for partition, position in believed.items():
            if stored.get(partition, 0) != position:
                self._displace(partition, f"believed {position}, the store has {stored.get(partition)}")

    def _set_trouble(self, partitions: Collection[Partition], trouble: str | None) -> None:
        for partition in partitions:
            if progress := self._progress.get(partition):
                progress.trouble = trouble

    def _tp(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.number)

    def _partition(self, tp: TopicPartition) -> Partition:
        return Partition(tp.topic.removeprefix(self._prefix), tp.partition)

    # --- the group gives and takes, see _Assignment ---------------------------------------------------------------

    async def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Give partitions back: after the batch in hand, so that two members never write the same one."""
        async with self._applying:
            await self._commit()
            for tp in partitions:
                partition = self._partition(tp)
                self._progress.pop(partition, None)
                metrics.LAG.remove(self._group, partition.topic, str(partition.number))

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions; each stands still until it is placed."""
        self._consumer.pause(*partitions)
        self._progress = {self._partition(tp): Progress() for tp in partitions}
        self._joined = True
        log.info("partitions_assigned", partitions=sorted(f"{tp.topic}/{tp.partition}" for tp in partitions))


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's interface to the two ends of a rebalance."""

    def __init__(self, loop: BatchLoop) -> None:
        self._loop = loop

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._loop._revoked(revoked)  # noqa: SLF001  # two halves of one class

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._loop._assigned(assigned)  # noqa: SLF001  # two halves of one class


def _log_gap(batch: Batch) -> None:
    """Nothing that this worker did: the log no longer has, or has anew, what stood at the position."""
    log.warning(
        "log_gap",
        topic=batch.partition.topic,
        partition=batch.partition.number,
        position=batch.position,
        found=batch.entries[0].offset,
        detail="the log was reset" if batch.entries[0].offset < batch.position else "retention was faster than we",
    )


def _log_applied(batch: Batch, took_s: float) -> None:
    """One line per batch, by which a trace is followed from the request into the store."""
    traces = batch.traces()
    log.info(
        "batch_applied",
        topic=batch.partition.topic,
        partition=batch.partition.number,
        offsets=[batch.entries[0].offset, batch.entries[-1].offset],
        records=len(batch.entries),
        ms=round(took_s * 1000, 1),
        traces=traces[:_LOGGED_TRACES],
        traces_total=len(traces),
    )
    # Every trace gets its last line, however many requests a batch is made of.
    for start in range(_LOGGED_TRACES, len(traces), _LOGGED_TRACES):
        log.info("batch_traces", traces=traces[start : start + _LOGGED_TRACES])


def _tell(group: str, batch: Batch, begun: Sequence[spans.Begun], took_s: float, *, failed: bool = False) -> None:
    """Tell whoever exports traces, in the words of OpenTelemetry's conventions."""
    if not begun:
        return
    about: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": group,
        "messaging.destination.name": batch.partition.topic,
        "messaging.destination.partition.id": str(batch.partition.number),
        "messaging.kafka.offset": batch.entries[0].offset,
        "messaging.batch.message_count": len(batch.entries),
    }
    spans.tell_batch(begun, f"process {batch.partition.topic}", took_s, about, failed=failed)
