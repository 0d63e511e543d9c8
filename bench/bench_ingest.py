"""Ingest: batches of a thousand against a bare aiokafka producer, single records against the server's empty route."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from bare_producers import AT_ONCE, BATCH, by_crc32, by_murmur2, send_batches, send_each
from harness.figures import Figure, figure, percentile
from harness.load import Connection, as_fast_as_it_goes, at_a_rate, connected, request
from harness.product import Product, running_product, start_with_bare_routes
from spine_workload import batches, bodies, messages

from common.settings import KafkaSettings

ROUNDS = 7
RECORDS = 100_000
SINGLES = 5_000
CONNECTIONS = 32
BATCHES_PER_SECOND, SINGLES_PER_SECOND = 20, 200
PATH = "/v1/streams/b/records"

Ceiling = Callable[[], Awaitable[None]]


async def run(*, quick: bool) -> list[Figure]:
    rounds, records, singles = (1, 20_000, 500) if quick else (ROUNDS, RECORDS, SINGLES)
    async with running_product([]) as product:
        await start_with_bare_routes(product, "ingest")
        url = product.stack.profile.url("ingest")
        async with connected(url, AT_ONCE) as few, connected(url, CONNECTIONS) as many:
            return [
                *await _batches(product, few, rounds, records),
                *await _singles(product, many, rounds, singles),
                *await _latencies(product, many, quick=quick),
            ]


async def _batches(product: Product, connections: list[Connection], rounds: int, count: int) -> list[Figure]:
    settings, encoded = KafkaSettings(kafka_bootstrap=product.stack.kafka_bootstrap), messages(count)
    requests = [_post(product, body, "application/x-ndjson") for body in batches(count, BATCH)]
    ceilings: dict[str, Ceiling] = {
        "send": partial(send_each, settings, encoded),
        "send_batch by murmur2": partial(send_batches, settings, encoded, by_murmur2),
        "send_batch by CRC-32": partial(send_batches, settings, encoded, by_crc32),
    }
    await as_fast_as_it_goes(connections, requests, 202)
    ours, cpu_s, bare = [], [], {name: list[float]() for name in ceilings}
    disk = product.disk_bytes("kafka")
    for _ in range(rounds):
        before = product.usage("ingest")
        ours.append(BATCH * await as_fast_as_it_goes(connections, requests, 202))
        cpu_s.append(product.usage("ingest").since(before).cpu_s / count * 1e6)
        for name, ceiling in ceilings.items():
            bare[name].append(await _rate(ceiling, count))
    written = rounds * count * (1 + len(ceilings))
    ratios = {name: [o / b for o, b in zip(ours, rates, strict=True)] for name, rates in bare.items()}
    return [
        figure("batches of 1,000", "records/s", ours, aim=100_000),
        *(figure(f"a bare producer, {name}", "records/s", rates) for name, rates in bare.items()),
        figure("batches, of a bare producer's send", "ratio", ratios["send"], aim=0.6),
        figure("batches, of a bare send_batch by murmur2", "ratio", ratios["send_batch by murmur2"], aim=0.6),
        figure("batches, of a bare send_batch by CRC-32", "ratio", ratios["send_batch by CRC-32"], aim=0.6),
        figure("batches, the worker", "CPU s/million", cpu_s, better="lower"),
        figure("memory of the worker", "MiB", [product.usage("ingest").rss_bytes / 2**20], better="lower"),
        figure("disk", "bytes/record", [(product.disk_bytes("kafka") - disk) / written], better="lower"),
    ]


async def _rate(work: Ceiling, count: int) -> float:
    started = time.perf_counter()
    await work()
    return count / (time.perf_counter() - started)


async def _singles(product: Product, connections: list[Connection], rounds: int, count: int) -> list[Figure]:
    made = list(bodies(count))
    ours = [_post(product, body, "application/json") for body in made]
    bare = [request("POST", "/bare", body, {"content-type": "application/json"}) for body in made]
    await as_fast_as_it_goes(connections, bare, 202)
    pairs = []
    for _ in range(rounds):
        before = product.usage("ingest")
        rate = await as_fast_as_it_goes(connections, ours, 202)
        cpu_s = product.usage("ingest").since(before).cpu_s / count * 1e6
        pairs.append((rate, await as_fast_as_it_goes(connections, bare, 202), cpu_s))
    about = f"{CONNECTIONS} connections"
    return [
        figure(f"single records, {about}", "requests/s", [rate for rate, _, _ in pairs]),
        figure(f"the server's empty route, {about}", "requests/s", [empty for _, empty, _ in pairs]),
        figure("single records, of the empty route", "ratio", [rate / empty for rate, empty, _ in pairs], aim=0.6),
        figure("single records, the worker", "CPU s/million", [cpu_s for _, _, cpu_s in pairs], better="lower"),
    ]


async def _latencies(product: Product, connections: list[Connection], *, quick: bool) -> list[Figure]:
    seconds = 1 if quick else 10
    batched = [
        _post(product, body, "application/x-ndjson") for body in batches(BATCHES_PER_SECOND * seconds * BATCH, BATCH)
    ]
    singles = [_post(product, body, "application/json") for body in bodies(SINGLES_PER_SECOND * seconds)]
    of_batches = await at_a_rate(connections, batched, BATCHES_PER_SECOND, 202)
    of_singles = await at_a_rate(connections, singles, SINGLES_PER_SECOND, 202)
    return [
        figure(f"p99 of batches at {BATCHES_PER_SECOND}/s", "ms", [percentile(of_batches, 99) * 1000], better="lower"),
        figure(
            f"p99 of single records at {SINGLES_PER_SECOND}/s",
            "ms",
            [percentile(of_singles, 99) * 1000],
            better="lower",
        ),
    ]


def _post(product: Product, body: bytes, content_type: str) -> bytes:
    return request("POST", PATH, body, product.headers | {"content-type": content_type})
