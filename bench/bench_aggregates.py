"""Aggregates: catching up from a full topic against a loop of bare ZADDs, and the price of many conditions."""

from aggregates_workload import Caught, Topic, bare_loop, catch_up, full_topic
from harness.figures import Figure, figure

ROUNDS = 3
RECORDS = 200_000
CONDITIONS = (10, 100, 1_000)
HOLD = 3
THIRDS = {f"third{n}": f"number > {n * 300}.0" for n in range(3)}


async def run(*, quick: bool) -> list[Figure]:
    rounds, count = (1, 20_000) if quick else (ROUNDS, RECORDS)
    async with full_topic(count) as topic:
        return [*await _catching_up(topic, rounds), *await _conditions(topic, rounds)]


async def _catching_up(topic: Topic, rounds: int) -> list[Figure]:
    await topic.have_conditions(THIRDS)
    pairs = [(await catch_up(topic), await bare_loop(topic)) for _ in range(rounds)]
    name = "catch-up, all + per A + 3 conditions"
    return [
        figure(name, "records/s", [ours.per_second for ours, _ in pairs], aim=25_000),
        figure(f"{name}, of the ceiling", "ratio", [ours.per_second / bare for ours, bare in pairs], aim=0.4),
        figure(f"{name}, and the server", "CPU s/million", [o.cpu_s for o, _ in pairs], better="lower", aim=40),
        figure("catch-up, a bare loop of ZADDs", "records/s", [bare for _, bare in pairs]),
    ]


async def _conditions(topic: Topic, rounds: int) -> list[Figure]:
    """The same records under more and more numeric conditions, of which three hold for each, in turn."""
    caught: dict[int, list[Caught]] = {many: [] for many in CONDITIONS}
    for _ in range(rounds):
        for many in CONDITIONS:
            step = 1000 / many
            await topic.have_conditions(
                {f"c{n}": f"number >= {n * step:.4f} && number < {(n + HOLD) * step:.4f}" for n in range(many)}
            )
            caught[many].append(await catch_up(topic))
    pairs = list(zip(caught[CONDITIONS[0]], caught[CONDITIONS[-1]], strict=True))
    rates = {n: [one.per_second for one in caught[n]] for n in CONDITIONS}
    slower = [few.per_second / many.per_second for few, many in pairs]
    dearer = [many.cpu_s / few.cpu_s for few, many in pairs]
    return [
        *(figure(f"catch-up, {n:,} conditions", "records/s", rates[n], x=n, series="conditions") for n in CONDITIONS),
        figure("time of 1,000 conditions / of 10", "ratio", slower, better="lower", aim=2.0),
        figure("CPU of 1,000 conditions / of 10", "ratio", dearer, better="lower", aim=2.0),
    ]
