"""The scanner: a full topic against the bare loop of matching, and from a rule's change to its being in force."""

import asyncio
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence

import matching_workload as workload
import msgspec
from bench_matching import bare_loop
from harness.figures import Figure, figure
from harness.product import Product, running_product

from common.clock import SystemClock
from common.contracts import CONTROL, RECORDS, ControlKind, Stream
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings
from matching.rules import Rule, VersionedRule

RECORDS_IN_ALL = 100_000
RULES = 1_000
AMOUNTS = (10, 1_000, 10_000)
CHANGES = 7
DEADLINE_S = 120.0
AIM_IN_FORCE_S = 1.0


async def run(*, quick: bool) -> list[Figure]:
    count, changes = (10_000, 2) if quick else (RECORDS_IN_ALL, CHANGES)
    work = workload.of_keywords(workload.SOUNDS["ascii"], RULES, count)
    async with running_product([]) as product:
        settings = KafkaSettings(kafka_bootstrap=product.stack.kafka_bootstrap)
        producer = Producer(settings)
        await producer.start()
        await producer.publish(CONTROL, [_entry(one.rule) for one in work.rules])
        records = [Message(f"b-{n}".encode(), raw, 1) for n, raw in enumerate(work.records)]
        await producer.publish(RECORDS[Stream.B], records)
        figures = await _scanned(product, work, count)
        figures += await _in_force(product, settings, producer, work.rules, changes)
        await producer.stop()
    return figures


async def _scanned(product: Product, work: workload.Workload, count: int) -> list[Figure]:
    """From the first batch to the last: alerts encoded and acknowledged, positions committed."""
    before = _cpu_of(bare_loop(work))
    await product.stack.start_services(["scan"])
    first, started, deadline = 0.0, 0.0, time.perf_counter() + DEADLINE_S
    used = product.usage("scan")
    while (
        done := await _metric(product, 'records_applied_total{outcome="applied",service="scan",stream="b"}')
    ) < count:
        if done and not first:
            first, started, used = done, time.perf_counter(), product.usage("scan")
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{done} of {count} records are scanned")
        await asyncio.sleep(0.02)
    took_s, cpu_s = time.perf_counter() - (started or deadline - DEADLINE_S), product.usage("scan").since(used).cpu_s
    rest = count - first
    bare_s = (before + _cpu_of(bare_loop(work))) / 2 / count
    name = f"scanned, {RULES:,} keyword rules"
    return [
        figure(name, "records/s", [rest / took_s]),
        figure(f"{name}, on one core", "records/CPU s", [rest / cpu_s]),
        figure(f"{name}, on one core, of the ceiling", "ratio", [bare_s * rest / cpu_s]),
    ]


async def _in_force(
    product: Product, settings: KafkaSettings, producer: Producer, rules: Sequence[VersionedRule], changes: int
) -> list[Figure]:
    """From the request to write a rule to a scanner that goes by it, beside so many others."""
    control = ControlTable(settings, producer, SystemClock(), types={ControlKind.RULE: Rule})
    await control.start()
    language, figures, there = workload.Language(workload.SOUNDS["ascii"], 3), [], len(rules)
    for amount in AMOUNTS:
        fresh = [Rule(name=f"rule-{n}", keywords=(language.keyword(),)) for n in range(there, amount)]
        gone = [Message(f"{ControlKind.RULE}/rule-{n}".encode(), None, 1) for n in range(amount, there)]
        if messages := [*map(_entry, fresh), *gone]:
            await producer.publish(CONTROL, messages)
        there = amount
        took = [await _change(product, control, language.word(3, 5)) for _ in range(changes + 1)][1:]
        name = f"rule update to in force, {amount:,} rules"
        figures.append(figure(name, "s", took, better="lower", aim=AIM_IN_FORCE_S, x=amount, series="in force"))
    await control.stop()
    return figures


async def _change(product: Product, control: ControlTable, keyword: str) -> float:
    started = time.perf_counter()
    version = await control.put(ControlKind.RULE, "changed", Rule(name="changed", keywords=(keyword,)))
    while await _metric(product, "rules_as_of_offset") <= version:
        if time.perf_counter() - started > DEADLINE_S:
            raise TimeoutError("the rule is not in force")
        await asyncio.sleep(0.005)
    return time.perf_counter() - started


async def _metric(product: Product, name: str) -> float:
    page = await asyncio.to_thread(_page, f"{product.stack.profile.metrics_url('scan')}/metrics")
    return _value(page.splitlines(), f"twinstream_{name} ")


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # the scanner's own, on loopback
        page: str = answer.read().decode()
    return page


def _value(lines: Iterable[str], start: str) -> float:
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


def _cpu_of(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _entry(rule: Rule) -> Message:
    return Message(f"{ControlKind.RULE}/{rule.name}".encode(), msgspec.json.encode(rule), 1)
