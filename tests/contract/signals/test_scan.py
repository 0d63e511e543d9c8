"""Claims on the scanner: rules are in force as they are written, and every hit becomes an alert of the same id."""

import asyncio
import time
from collections.abc import Callable
from itertools import count

import msgspec
import pytest
from prometheus_client import REGISTRY

from common.alerts import ERASURE_KEY, Erasure, Severity, Span, record_of
from common.contracts import REJECTED, ControlKind, RecordA, Stream
from common.kafka.producer import Message
from common.kafka.rejections import read_rejection
from matching.rules import Rule, Terms, alert_id, match_revision

RULE = Rule(
    name="refunds",
    keywords=("refund",),
    severity=Severity.CRITICAL,
    destinations=("ops",),
    cooldown_seconds=60,
    group_seconds=5,
)
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"twinstream_{name}", labels) or 0.0


async def until(holds: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)


async def in_force(version: int) -> float:
    """Wait until the rules are in force as of this version; for how many seconds."""
    started = time.perf_counter()
    await until(lambda: metric("rules_as_of_offset") > version)
    return time.perf_counter() - started


async def test_an_alert_tells_all_that_a_notifier_needs(log, scanning, a_b) -> None:
    """What was found and where, in which record, by which version of the rule, and whom to tell how."""
    version = await log.put(RULE)
    record = a_b("b-1", "A Refund, please: REFUND!")
    async with scanning():
        await log.send(record, headers=[TRACE])
        (alert,) = await log.raised(lambda found: found)
    assert alert.id == alert_id("refunds", match_revision(RULE), Stream.B, "b-1", record.text)
    assert (alert.rule, alert.rule_version, alert.match_revision) == ("refunds", version, match_revision(RULE))
    assert (alert.severity, alert.stream, alert.destinations) == (Severity.CRITICAL, Stream.B, ("ops",))
    assert (alert.cooldown_seconds, alert.group_seconds) == (60, 5)
    assert alert.matches == (Span("text", 2, 8, "Refund", "refund"), Span("text", 18, 24, "REFUND", "refund"))
    assert record_of(alert) == record
    (message,) = await log.read("alerts")
    assert (message.key.decode(), message.headers) == (alert.id, (TRACE,))


async def test_a_rule_is_in_force_changed_disabled_and_deleted_without_a_restart(log, scanning, a_b) -> None:
    """Within a second of each write, but for what else the machine is doing, records go by it; its metrics go too."""
    numbers, took_s = count(), []

    async def write(rule: Rule | None) -> int:
        version = await log.put(rule, name="refunds")
        took_s.append(await in_force(version))
        return version

    async def send(text: str) -> None:
        scanned = applied()
        await log.send(a_b(f"b-{next(numbers)}", text))
        await until(lambda: applied() > scanned)

    def applied() -> float:
        return metric("records_applied_total", service="scan", stream="b", outcome="applied")

    def hits() -> float | None:
        return REGISTRY.get_sample_value("twinstream_rule_hits_total", {"rule": "refunds", "stream": "b"})

    async with scanning():
        versions = [await write(RULE)]
        await send("refund")
        versions.append(await write(Rule(name="refunds", keywords=("chargeback",))))
        await send("refund")
        await send("chargeback")
        await write(Rule(name="refunds", keywords=("chargeback",), enabled=False))
        await send("chargeback")
        versions.append(await write(RULE))
        await send("refund")
        assert hits()
        await write(None)
        await send("refund")
        assert hits() is None
        found = await log.raised(lambda found: len(found) >= 3)
    assert [alert.rule_version for alert in found] == versions
    assert [record_of(alert).id for alert in found] == ["b-0", "b-2", "b-4"]
    assert min(took_s) < 1.0


async def test_rules_that_do_not_compile_leave_the_former_in_force(log, scanning, a_b) -> None:
    """Nothing is missed meanwhile, readiness names the rule at fault, and mending it is enough."""
    await log.put(RULE)
    broken = Rule(name="broken", regexes=("(",))
    async with scanning() as health:
        await log.put(broken)
        await until(lambda: "rules" in health.problems())
        assert "rule broken: it does not compile: missing )" in health.problems()["rules"]
        assert metric("rules_refused") == 1
        await log.send(a_b("b-1", "refund"))
        await log.raised(lambda found: len(found) == 1)
        await log.put(Rule(name="broken", regexes=("[0-9]{4}",)))
        await until(lambda: not health.problems())
        await log.send(a_b("b-2", "4711"))
        await log.raised(lambda found: [alert.rule for alert in found] == ["refunds", "broken"])


async def test_no_record_goes_by_before_rules_are_in_force(log, scanning, a_b) -> None:
    """A scanner whose first rules do not compile waits: what comes is scanned once they do."""
    await log.put(Rule(name="broken", regexes=("(",)))
    await log.put(RULE)
    await log.send(a_b("b-1", "refund"))
    async with scanning() as health:
        await until(lambda: "no rules are in force" in health.problems().get("worker", ""))
        await log.put(None, name="broken")
        await log.raised(lambda found: len(found) == 1)


async def test_a_restart_goes_on_where_the_former_scanner_stopped(log, scanning, a_b) -> None:
    """After a stop in good order nothing is scanned twice and nothing is left out."""
    await log.put(RULE)
    await log.send(*[a_b(f"b-{n}", f"refund {n}") for n in range(30)])
    async with scanning():
        await log.raised(lambda found: len(found) == 30)
    await log.send(*[a_b(f"b-{n}", f"refund {n}") for n in range(30, 60)])
    async with scanning():
        found = await log.raised(lambda found: len(found) >= 60)
    assert len({alert.id for alert in found}) == len(found) == 60


@pytest.mark.parametrize("batch", [1, 7, 2000])
async def test_ids_are_those_of_the_text_not_of_the_message(log, scanning, a_b, batch: int) -> None:
    """The same text sent again is the same alert, a changed one another; so is a rule that looks for something else."""
    await log.put(RULE)
    async with scanning(scan_batch_records=batch):
        await log.send(a_b("b-1", "refund"), a_b("b-1", "refund", number=9.0, ingested_at=8), a_b("b-1", "refund!"))
        await log.raised(lambda found: len({alert.id for alert in found}) == 2)
        await in_force(await log.put(Rule(name="refunds", keywords=("Refund",), cooldown_seconds=5)))
        await log.send(a_b("b-1", "refund"), a_b("b-2", "refund"))
        found = await log.raised(lambda found: len({alert.id for alert in found}) >= 3)
    assert len({alert.id for alert in found}) == 3
    assert {alert.cooldown_seconds for alert in found} >= {60, 5}


async def test_an_erasure_stands_behind_the_alerts_of_its_record(log, scanning, a_b) -> None:
    """In every partition, for alerts of one record are in several; with the place of its tombstone in the log."""
    await log.put(RULE)
    async with scanning():
        await log.send(a_b("b-1", "refund"), a_b("b-1", "refund!"), a_b("b-1", "refund?"))
        found = await log.raised(lambda found: len(found) == 3)
        await log.producer.publish("records.b", [Message(b"b-1", None, 1)])
        await log.send(a_b("b-1", "refund"))
        await log.raised(lambda found: len(found) == 4)
    assert {alert.offset for alert in found[:3]} == {0, 1, 2}
    assert found[3].offset == 4
    erasures = [entry for entry in await log.read("alerts") if entry.key.startswith(ERASURE_KEY)]
    assert sorted(entry.partition for entry in erasures) == [0, 1, 2]
    erasure = Erasure(stream=Stream.B, record_id="b-1", offset=3)
    assert {msgspec.json.decode(entry.value, type=Erasure) for entry in erasures} == {erasure}


async def test_what_is_no_record_is_put_aside_and_stops_nobody(log, scanning, a_b) -> None:
    await log.put(Rule(name="failing", keywords=("refund",), when="1.0 / (number - 1.0) > 0.0 && text[0] == 'x'"))
    await log.put(RULE)
    async with scanning():
        await log.producer.publish("records.b", [Message(b"k", b"\xff", 1), Message(b"gone", None, 1)])
        await log.send(a_b("b-1", "refund"), RecordA(id="a-1", number=1.0, text="refund", event_time=1, ingested_at=1))
        found = await log.raised(lambda found: len(found) == 2)
    assert {(alert.rule, alert.stream) for alert in found} == {("refunds", "a"), ("refunds", "b")}
    (rejected,) = await log.read(REJECTED)
    reason = read_rejection(rejected.headers)
    assert (reason.code, reason.rejected_by, rejected.value) == ("undecodable", "scan", b"\xff")


async def test_a_condition_and_terms_of_all_kinds_hold_together(log, scanning, a_b) -> None:
    await log.put(
        Rule(
            name="all",
            streams=(Stream.B,),
            regexes=("(?i)order-[0-9]+",),
            all=Terms(keywords=("refund",)),
            none=Terms(keywords=("test",)),
            when="number > 100.0",
        )
    )
    async with scanning():
        await log.send(
            a_b("b-1", "refund ORDER-12", number=101.0),
            a_b("b-2", "refund ORDER-12", number=100.0),
            a_b("b-3", "test refund ORDER-12", number=101.0),
            a_b("b-4", "refund", number=101.0),
            a_b("b-5", "order-9 refund", number=101.0),
        )
        found = await log.raised(lambda found: len(found) >= 2)
    assert sorted(record_of(alert).id for alert in found) == ["b-1", "b-5"]


async def test_the_control_topic_of_other_kinds_is_no_matter(log, scanning) -> None:
    """Keys and conditions move control on; the rules in force are as of then, without being compiled anew."""
    await log.put(RULE)
    async with scanning():
        await log.producer.publish("control", [Message(f"{ControlKind.KEY}/x".encode(), b"{}", 1)])
        await until(lambda: metric("rules_as_of_offset") == 2)
    assert metric("rules_in_force") == 1
