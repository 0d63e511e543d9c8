"""Aggregates: catching up from a full topic against a loop of ZADDs, the price of conditions, bytes per id."""

from collections import defaultdict

from aggregates_workload import BASE, Caught, Topic, bare_loop, catch_up, full_topic
from harness.figures import Figure, figure

from windows.layout import ALL, EVENTS, HEAD, HELD, OF

ROUNDS = 3
RECORDS = 200_000
IDS = 1_000_000
CONDITIONS = (10, 100, 1_000)
HOLD = 3
THIRDS = {f"third{n}": f"number > {n * 300}.0" for n in range(3)}
SAMPLE = 2_000


async def run(*, quick: bool) -> list[Figure]:
    rounds, count, ids = (1, 20_000, 20_000) if quick else (ROUNDS, RECORDS, IDS)
    return [*await _catching_up(rounds, count), *await _conditions(rounds, count), *await _memory(ids)]


async def _catching_up(rounds: int, count: int) -> list[Figure]:
    async with full_topic(count, THIRDS) as topic:
        pairs = [(await catch_up(topic), await bare_loop(topic)) for _ in range(rounds)]
    name = "catch-up, all + per A + 3 conditions"
    return [
        figure(name, "records/s", [ours.per_second for ours, _ in pairs], aim=25_000),
        figure(f"{name}, of the ceiling", "ratio", [ours.per_second / bare for ours, bare in pairs], aim=0.4),
        figure(f"{name}, and the server", "CPU s/million", [o.cpu_s for o, _ in pairs], better="lower", aim=40),
        figure("catch-up, a bare loop of ZADDs", "records/s", [bare for _, bare in pairs]),
    ]


async def _conditions(rounds: int, count: int) -> list[Figure]:
    """The same records under more and more numeric conditions, of which three hold for each."""
    caught: dict[int, list[Caught]] = defaultdict(list)
    for many in CONDITIONS:
        step = 1000 / many
        named = {f"c{n}": f"number >= {n * step:.4f} && number < {(n + HOLD) * step:.4f}" for n in range(many)}
        async with full_topic(count, named) as topic:
            caught[many] = [await catch_up(topic) for _ in range(rounds)]
    pairs = list(zip(caught[CONDITIONS[0]], caught[CONDITIONS[-1]], strict=True))
    rates = {n: [one.per_second for one in caught[n]] for n in CONDITIONS}
    slower = [few.per_second / many.per_second for few, many in pairs]
    dearer = [many.cpu_s / few.cpu_s for few, many in pairs]
    return [
        *(figure(f"catch-up, {n:,} conditions", "records/s", rates[n], x=n, series="conditions") for n in CONDITIONS),
        figure("time of 1,000 conditions / of 10", "ratio", slower, better="lower", aim=2.0),
        figure("CPU of 1,000 conditions / of 10", "ratio", dearer, better="lower"),
    ]


async def _memory(ids: int) -> list[Figure]:
    """Bytes per B id with ten B to an A: all of it as the server counts it, and parts as it estimates them."""
    async with full_topic(ids, {}) as topic:
        per_id = await _filled(topic)
        parts = {"the head": [BASE + HEAD], "all": [BASE + ALL], "events": [BASE + EVENTS]}
        figures = [
            figure("memory with per A", "bytes/id", [per_id], better="lower", aim=200),
            *[_weight(f"memory of {part}", await _size(topic, keys) / ids) for part, keys in parts.items()],
        ]
        of = [key async for key in topic.redis.scan_iter(match=BASE + OF + "*", count=5_000)]
        share = await _size(topic, of[:SAMPLE]) / len(of[:SAMPLE]) * len(of)
        figures.append(_weight("memory of per A", share / ids))
    async with full_topic(ids, THIRDS) as topic:
        figures.append(figure("memory with per A and 3 conditions", "bytes/id", [await _filled(topic)], better="lower"))
        held = [key async for key in topic.redis.scan_iter(match=BASE + HELD + "*")]
        members = sum([await topic.redis.zcard(key) for key in held])
        figures.append(_weight("memory of a condition, per id that holds it", await _size(topic, held) / members))
    return figures


def _weight(name: str, value: float) -> Figure:
    return figure(name, "bytes/id", [value], better="lower")


async def _filled(topic: Topic) -> float:
    """Bytes per id once the topic is taken in."""
    await topic.redis.flushall()
    before = int((await topic.redis.info("memory"))["used_memory"])
    await catch_up(topic)
    used = int((await topic.redis.info("memory"))["used_memory"]) - before
    return used / int(await topic.redis.zcard(BASE + ALL))


async def _size(topic: Topic, keys: list[bytes] | list[str]) -> float:
    return float(sum([await topic.redis.memory_usage(key, samples=SAMPLE) or 0 for key in keys]))
