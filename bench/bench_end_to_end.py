"""End to end: from a request's first byte until its record is found by id, at a steady rate, through every process."""

import asyncio
from collections.abc import Sequence

import msgspec
from harness.figures import Figure, figure, percentile
from harness.load import Connection, connected, request
from harness.product import Product, running_product
from spine_workload import bodies

from localstack.services import SERVICES

PER_SECOND = 200
SECONDS = 60
WARM_SECONDS = 5  # beforehand: first sights of a topic, of a collection, of a connection
CONNECTIONS = 32
LOOK_EVERY_S = 0.01
# Of so many records one is followed: who looks for all of them makes MongoDB so busy that he measures himself, and the
# more so the longer they take.
FOLLOWED = 5


async def run(*, quick: bool) -> list[Figure]:
    async with running_product(list(SERVICES)) as product:
        await Journey(product).seconds(PER_SECOND * (1 if quick else WARM_SECONDS), seed=1)
        before = {name: product.usage(name) for name in product.names}
        records = PER_SECOND * (3 if quick else SECONDS)
        seconds = await Journey(product).seconds(records, seed=2)
        spent = {name: product.usage(name).since(before[name]) for name in product.names}
    about = f"at {PER_SECOND}/s"
    return [
        figure(f"median {about}", "ms", [percentile(seconds, 50) * 1000], better="lower"),
        figure(f"p99 {about}", "ms", [percentile(seconds, 99) * 1000], better="lower", aim=250.0),
        figure(f"the longest {about}", "ms", [max(seconds) * 1000], better="lower"),
        *(
            figure(f"{name} {about}", "CPU s/million", [use.cpu_s / records * 1e6], better="lower")
            for name, use in spent.items()
        ),
    ]


class Journey:
    """Records on their way, and when each was due to leave."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._left: dict[str, float] = {}
        self._seconds: list[float] = []

    async def seconds(self, count: int, seed: int) -> list[float]:
        """How long each took of those of `count` records that are followed."""
        made, profile = list(bodies(count, seed=seed)), self._product.stack.profile
        async with (
            connected(profile.url("ingest"), CONNECTIONS) as sending,
            connected(profile.url("query_api"), 1) as looking,
        ):
            watching = asyncio.create_task(self._watch(looking[0], len(range(0, len(made), FOLLOWED))))
            await self._send(sending, made)
            await watching
        return self._seconds

    async def _send(self, connections: Sequence[Connection], made: Sequence[bytes]) -> None:
        loop, free = asyncio.get_running_loop(), asyncio.LifoQueue[Connection]()
        for connection in connections:
            free.put_nowait(connection)
        began, sending = loop.time(), []

        async def one(n: int, body: bytes, due: float) -> None:
            connection = await free.get()
            if n % FOLLOWED == 0:
                self._left[msgspec.json.decode(body)["unique_identifier"]] = due
            headers = self._product.headers | {"content-type": "application/json"}
            answer = await connection.request(request("POST", "/v1/streams/b/records", body, headers))
            assert answer.status == 202, answer.body  # noqa: S101  # a fast error is no figure
            free.put_nowait(connection)

        for n, body in enumerate(made):
            await asyncio.sleep(max(0.0, began + n / PER_SECOND - loop.time()))
            sending.append(asyncio.create_task(one(n, body, began + n / PER_SECOND)))
        await asyncio.gather(*sending)

    async def _watch(self, connection: Connection, count: int) -> None:
        """Look, every few milliseconds, which of those that are followed are found by now."""
        loop, headers = asyncio.get_running_loop(), self._product.headers | {"content-type": "application/json"}
        async with asyncio.timeout(60 + FOLLOWED * count / PER_SECOND):
            while len(self._seconds) < count:
                if ids := list(self._left):
                    body = msgspec.json.encode({"ids": ids})
                    answer = await connection.request(request("POST", "/v1/b/lookup", body, headers))
                    for id_, found in zip(ids, msgspec.json.decode(answer.body)["items"], strict=True):
                        if found is not None:
                            self._seconds.append(loop.time() - self._left.pop(id_))
                await asyncio.sleep(LOOK_EVERY_S)
