"""Resolves the jars of Kafka, and of Spark's example, anew and writes them down: `python -m localstack.lock_jars`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from jgo.maven import Artifact, MavenContext

from localstack.jars import LOCK

KAFKA: Final = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.kafka:kafka-tools:4.3.1")
# Kafka's jars log through SLF4J but leave the choice of what writes it to whoever packs them; Apache's own archive
# packs this one, in the version of log4j-core.
BINDING: Final = ("org.apache.logging.log4j", "log4j-slf4j-impl")
LOG4J: Final = "log4j-core"

# What Spark's own jars lack to read the lake; it brings everything else that these two ask for.
SPARK: Final = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0", "org.xerial:sqlite-jdbc:3.54.1.0")
SPARK_LOCK: Final = Path(__file__).parents[2] / "examples" / "spark" / "jars.lock.toml"

_HEADER: Final = """\
# {what}. Made by `make lock`; do not edit.
# Requested: {requested}

[jars]
"""


def main() -> None:
    with TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=30)
        kafka = "The jars that the local Kafka runs, in the order of its class path"
        _write(LOCK, kafka, KAFKA, _resolve(context))
        spark = [_artifact(context, coordinate) for coordinate in SPARK]
        _write(SPARK_LOCK, "The jars that Spark is given to read the lake", SPARK, spark)


def _write(lock: Path, what: str, requested: Sequence[str], artifacts: Sequence[Artifact]) -> None:
    with ThreadPoolExecutor(6) as pool:
        lines = sorted(pool.map(_line, artifacts))
    lock.write_text(_HEADER.format(what=what, requested=", ".join(requested)) + "".join(lines), encoding="utf-8")


def _resolve(context: MavenContext) -> list[Artifact]:
    roots, others = context.resolver.resolve([context.create_dependency(coordinate) for coordinate in KAFKA])
    artifacts = [dependency.artifact for dependency in (*roots, *others)]
    log4j = next(artifact.version for artifact in artifacts if artifact.artifactId == LOG4J)
    return [*artifacts, context.project(*BINDING).at_version(log4j).artifact()]


def _artifact(context: MavenContext, coordinate: str) -> Artifact:
    group, artifact, version = coordinate.split(":")
    return context.project(group, artifact).at_version(version).artifact()


def _line(artifact: Artifact) -> str:
    content = artifact.resolve().read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return f'"{coordinate}" = {{ size = {len(content)}, sha256 = "{sha256(content).hexdigest()}" }}\n'


if __name__ == "__main__":
    main()
