"""Isolation: ingest, lookups, counts, alerts and the lake's commits beside two hostile queries, against without."""

import asyncio
from collections.abc import Mapping, Sequence

from bench_signals import Receiver, open_webhook
from harness.figures import Figure, figure, percentile
from harness.product import Product, running_product
from isolation_workload import AT_ONCE, Load, Seconds, hostile

from localstack.services import SERVICES

ROUNDS = 5
SECONDS = 30
WARM_SECONDS = 5
AIM_MEDIAN, AIM_P99 = 1.2, 2.0
SETTINGS = {"TWINSTREAM_LAKE_COMMIT_SECONDS": "5", "TWINSTREAM_LAKE_QUERIES_PER_KEY": str(AT_ONCE)}
_PARTS = {"ingest": (50, 99), "lookup": (50, 99), "count": (50, 99), "alert": (50, 99), "commit": (50, 95)}


async def run(*, quick: bool) -> list[Figure]:
    rounds, seconds = (1, 5) if quick else (ROUNDS, SECONDS)
    received = dict[str, float]()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(received), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with running_product(list(SERVICES), SETTINGS) as product:
        await open_webhook(product, url)
        load = Load(product, received)
        await load.run(WARM_SECONDS)
        pairs: list[tuple[Seconds, Seconds]] = []
        ended: list[str] = []
        for turn in range(rounds):
            # The order changes from pair to pair: what grows meanwhile weighs on both alike.
            if turn % 2:
                beside, said = await _beside_hostile(product, load, seconds)
                alone = await load.run(seconds)
            else:
                alone = await load.run(seconds)
                beside, said = await _beside_hostile(product, load, seconds)
            pairs.append((beside, alone))
            ended += said
    server.close()
    print(f"hostile queries ended: {_tally(ended)}")
    return [one for name, percents in _PARTS.items() for one in _figures(name, percents, pairs)]


async def _beside_hostile(product: Product, load: Load, seconds: int) -> tuple[Seconds, list[str]]:
    async with hostile(product) as ended:
        return await load.run(seconds), ended


def _figures(name: str, percents: tuple[int, int], pairs: Sequence[tuple[Seconds, Seconds]]) -> list[Figure]:
    figures = []
    for percent, aim in zip(percents, (AIM_MEDIAN, AIM_P99), strict=True):
        what = "median" if percent == 50 else f"p{percent}"  # by definition
        with_, without = (
            [percentile(side[name], percent) * 1000 for side in sides] for sides in zip(*pairs, strict=True)
        )
        ratios = [one / other for one, other in zip(with_, without, strict=True)]
        about = f"{name}, {what}"
        figures += [
            figure(f"{about}: beside hostile / without", "ratio", ratios, better="lower", aim=aim),
            figure(f"{about}: beside hostile", "ms", with_, better="lower"),
        ]
    return figures


def _tally(ended: Sequence[str]) -> Mapping[str, int]:
    return {code: ended.count(code) for code in sorted(set(ended))}
