"""Who is not let in hears why at once, by a code; it is not waited for, and no password is repeated."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from common.errors import CannotStart
from common.kafka.producer import Producer
from common.kafka.replay import Replay
from common.kafka.topics import ensure_topics, list_topics
from common.mongo import check_mongo, client_of
from common.process import until_available
from common.settings import KafkaSettings, MongoSettings, RedisSettings
from windows.access import check_redis

WRONG = "wr0ng-pa55word"
PLAIN = {"kafka_tls": False, "kafka_ca_file": "", "kafka_certificate_file": ""}
SOON = {"mongo_timeout_ms": 1000, "redis_timeout_ms": 1000}  # where no answer will come, however long one waits


async def kafka(settings: KafkaSettings) -> None:
    await list_topics(settings)


async def mongo(settings: MongoSettings) -> None:
    async with client_of(settings, "tests") as client:
        await check_mongo(client, settings)


async def redis(settings: RedisSettings) -> None:
    await check_redis(settings)


CHECKS: dict[str, Callable[[Any], Awaitable[None]]] = {"kafka": kafka, "mongo": mongo, "redis": redis}


async def refusal(secured: Any, server: str, **changed: object) -> CannotStart:
    with pytest.raises(
        CannotStart
    ) as refused:  # as a start does it: a machine that is too busy to answer is asked again
        await until_available(partial(CHECKS[server], secured.settings(**changed)), asyncio.Event())
    for secret in (WRONG, secured.profile.password):
        assert secret not in str(refused.value)
    return refused.value


@pytest.mark.parametrize("server", CHECKS)
async def test_who_is_right_is_let_in(secured: Any, server: str) -> None:
    """Or what follows would show nothing."""
    await CHECKS[server](secured.settings())


@pytest.mark.parametrize("server", CHECKS)
async def test_a_wrong_password(secured: Any, server: str) -> None:
    """Each server says so in words of its own; the code is one."""
    given = {name: getattr(secured.profile, name) for name in ("mongo_uri", "redis_url")}
    addresses = {name: address.replace(secured.profile.password, WRONG) for name, address in given.items()}
    told = await refusal(secured, server, kafka_password=WRONG, **addresses)
    assert told.code == "not_let_in"


@pytest.mark.parametrize("server", CHECKS)
async def test_no_password_where_one_is_asked_for(secured: Any, server: str) -> None:
    """Kafka would hang up on it, the others tell."""
    login = f":{secured.profile.password}@"
    told = await refusal(
        secured,
        server,
        kafka_sasl_mechanism="none",
        kafka_username="",
        kafka_password="",
        mongo_uri=secured.profile.mongo_uri.replace(f"twinstream{login}", "").replace("&authSource=twinstream", ""),
        redis_url=secured.profile.redis_url.replace(login, ""),
    )
    assert told.code == "not_let_in"


@pytest.mark.parametrize("server", CHECKS)
async def test_an_authority_that_does_not_vouch_for_the_server(secured: Any, of_nobody: Any, server: str) -> None:
    """The setting that names ours is told."""
    files = {f"{name}_ca_file": str(of_nobody.ca_file) for name in CHECKS}
    told = await refusal(secured, server, **files, **SOON)
    assert told.code == "tls_untrusted"
    assert f"TWINSTREAM_{server.upper()}_CA_FILE" in str(told)


@pytest.mark.parametrize("whose", ["nobody's", "of an authority that the server does not know"])
@pytest.mark.parametrize("server", CHECKS)
async def test_a_certificate_of_ours_that_is_not_taken(secured: Any, of_nobody: Any, server: str, whose: str) -> None:
    """Though the password is right; the setting that names the file is told."""
    file = "" if whose == "nobody's" else str(of_nobody.client)
    told = await refusal(secured, server, **{f"{name}_certificate_file": file for name in CHECKS}, **SOON)
    assert told.code == "tls_certificate_refused"
    assert f"TWINSTREAM_{server.upper()}_CERTIFICATE_FILE" in str(told)


@pytest.mark.parametrize("server", CHECKS)
async def test_no_tls_where_the_server_speaks_it(secured: Any, server: str) -> None:
    """What would set it is told."""
    told = await refusal(
        secured,
        server,
        **{f"{name}_{file}_file": "" for name in CHECKS for file in ("ca", "certificate")},
        **SOON,
        kafka_tls=False,
        mongo_uri=secured.profile.mongo_uri.replace("tls=true", "tls=false"),
        redis_url=secured.profile.redis_url.replace("rediss", "redis"),
    )
    assert told.code == "tls_expected"


@pytest.mark.parametrize("server", CHECKS)
async def test_tls_where_the_server_speaks_none(secured: Any, servers: Any, server: str) -> None:
    """The servers of the local default, which ask for nothing."""
    told = await refusal(
        secured,
        server,
        kafka_bootstrap=servers.kafka_bootstrap,
        mongo_uri=f"{servers.mongo_uri}?tls=true",
        redis_url=servers.redis_url.replace("redis://", "rediss://"),
        redis_cluster=False,
        **SOON,
    )
    assert told.code == "tls_not_spoken"


@pytest.mark.parametrize("server", ["kafka"])
async def test_a_login_where_the_server_knows_none(secured: Any, servers: Any, server: str) -> None:
    """Kafka takes no SASL on a listener that is open to everybody."""
    told = await refusal(secured, server, kafka_bootstrap=servers.kafka_bootstrap, **PLAIN)
    assert told.code == "not_let_in"


async def test_a_cluster_is_one_on_both_sides(secured: Any, servers: Any) -> None:
    """Else every other key would be on a node that nobody asks."""
    plain = {"redis_url": servers.redis_url, "redis_ca_file": "", "redis_certificate_file": ""}
    for changed in ({"redis_cluster": False}, plain):
        assert (await refusal(secured, "redis", **changed)).code == "cluster_mismatch"


@pytest.mark.parametrize(
    "start", [lambda s: Producer(s).start(), lambda s: Replay(s).start(), lambda s: ensure_topics(s, partitions=1)]
)
async def test_every_client_of_kafka_tells_why(secured: Any, start: Callable[[Any], Awaitable[object]]) -> None:
    """Whichever a process starts first."""
    with pytest.raises(CannotStart) as refused:
        await until_available(partial(start, secured.settings(kafka_password=WRONG)), asyncio.Event())
    assert refused.value.code == "not_let_in"


MONGO, REDIS, KAFKA = "TWINSTREAM_MONGO_URI", "TWINSTREAM_REDIS_URL", "TWINSTREAM_KAFKA_PASSWORD"


@pytest.mark.parametrize(
    "wrong_in",
    [
        {"aggregates": REDIS, "query_api": MONGO},
        pytest.param({"documents": MONGO, "signals.notifier": MONGO, "ingest": REDIS}, marks=pytest.mark.long),
        pytest.param({"signals.scan": KAFKA, "lake.writer": KAFKA, "lake.jobs": MONGO}, marks=pytest.mark.long),
    ],
    ids=" ".join,
)
async def test_a_process_with_a_wrong_password_ends_and_says_so(secured: Any, wrong_in: dict[str, str]) -> None:
    """With 78, for another start would change nothing; with a line that has the code, and nothing that is secret."""
    right = secured.profile.stores()
    wrong = {name: right[name].replace(secured.profile.password, WRONG) for name in wrong_in.values()}
    processes = [secured.process(module, {name: wrong[name]}) for module, name in wrong_in.items()]
    for module, ended in zip(wrong_in, await asyncio.gather(*processes), strict=True):
        lines = [json.loads(line) for line in ended.said.splitlines() if line.startswith("{")]
        codes = [line["code"] for line in lines if line["event"] == "cannot_start"]
        assert (module, ended.status, codes) == (module, 78, ["not_let_in"])
        assert WRONG not in ended.said
        assert secured.profile.password not in ended.said
