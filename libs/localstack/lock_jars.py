"""Resolves Kafka's jars anew and writes them down: `python -m localstack.lock_jars`."""

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

_HEADER: Final = """\
# The jars that the local Kafka runs, in the order of its class path. Made by `make lock`; do not edit.
# Requested: {requested}

[jars]
"""


def main() -> None:
    with TemporaryDirectory() as folder:
        artifacts = _resolve(MavenContext(repo_cache=Path(folder), timeout=30))
        with ThreadPoolExecutor(6) as pool:
            lines = sorted(pool.map(_line, artifacts))
    LOCK.write_text(_HEADER.format(requested=", ".join(KAFKA)) + "".join(lines), encoding="utf-8")


def _resolve(context: MavenContext) -> list[Artifact]:
    roots, others = context.resolver.resolve([context.create_dependency(coordinate) for coordinate in KAFKA])
    artifacts = [dependency.artifact for dependency in (*roots, *others)]
    log4j = next(artifact.version for artifact in artifacts if artifact.artifactId == LOG4J)
    return [*artifacts, context.project(*BINDING).at_version(log4j).artifact()]


def _line(artifact: Artifact) -> str:
    content = artifact.resolve().read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return f'"{coordinate}" = {{ size = {len(content)}, sha256 = "{sha256(content).hexdigest()}" }}\n'


if __name__ == "__main__":
    main()
