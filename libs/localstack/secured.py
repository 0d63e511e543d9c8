"""The servers as a careful deployment has them, for tests: TLS by an authority of its own, no entry without a password.

Kafka with SASL over TLS; three Valkeys as a cluster, each with TLS before it; SecantusDB with TLS and a user that may
read and write one database. Their data and ports are a profile's, and so is what clients are told.
"""

import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.settings import KafkaSettings
from localstack import readiness, servers
from localstack.authority import Authority
from localstack.processes import Process
from localstack.profile import DEFAULT_PORTS, HOST, Profile

USER: Final = "twinstream"
DATABASE: Final = "twinstream"

_SERVERS: Final = ("KAFKA", "MONGO", "REDIS")
_NODES: Final = 3
_SHARDS: Final = 8  # of the windows: some for each node
_SLOTS: Final = 16384
_USER_WITHIN_S: Final = 30.0
_MORE_PORTS: Final = [f"redis_{what}_{node}" for what in ("front", "node", "bus") for node in range(_NODES)]


@dataclass(frozen=True)
class SecuredProfile(Profile):
    """A set-up whose servers let nobody in who has not `password`."""

    ports: Mapping[str, int] = field(default_factory=lambda: {**DEFAULT_PORTS, **dict.fromkeys(_MORE_PORTS, 1)})
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    mechanism: str = "SCRAM-SHA-512"
    wants_certificates: bool = False
    """Whether the servers ask for a certificate besides, and clients have one."""

    @property
    def authority(self) -> Path:
        return self.home / "authority"

    @property
    def ca_file(self) -> Path:
        return self.authority / "ca.pem"

    @property
    def certificate_file(self) -> str:
        """What clients show of themselves; empty where they are not asked."""
        return str(self.authority / "client-with-key.pem") if self.wants_certificates else ""

    @property
    def mongo_uri(self) -> str:
        where = f"{HOST}:{self.ports['mongo']}/"
        return f"mongodb://{USER}:{self.password}@{where}?tls=true&authSource={DATABASE}"

    @property
    def redis_url(self) -> str:
        return f"rediss://:{self.password}@{HOST}:{self.ports['redis_front_0']}/0"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.stores(), "TWINSTREAM_WINDOW_SHARDS": str(_SHARDS)}

    def stores(self) -> dict[str, str]:
        """What tells a process of ours where the servers are, and how they let it in."""
        return {
            "TWINSTREAM_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "TWINSTREAM_KAFKA_TLS": "true",
            "TWINSTREAM_KAFKA_CA_FILE": str(self.ca_file),
            "TWINSTREAM_KAFKA_SASL_MECHANISM": self.mechanism,
            "TWINSTREAM_KAFKA_USERNAME": USER,
            "TWINSTREAM_KAFKA_PASSWORD": self.password,
            "TWINSTREAM_MONGO_URI": self.mongo_uri,
            "TWINSTREAM_MONGO_CA_FILE": str(self.ca_file),
            "TWINSTREAM_REDIS_URL": self.redis_url,
            "TWINSTREAM_REDIS_CLUSTER": "true",
            "TWINSTREAM_REDIS_CA_FILE": str(self.ca_file),
            **{f"TWINSTREAM_{server}_CERTIFICATE_FILE": self.certificate_file for server in _SERVERS},
        }

    def kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(
            kafka_bootstrap=self.kafka_bootstrap,
            kafka_tls=True,
            kafka_ca_file=str(self.ca_file),
            kafka_certificate_file=self.certificate_file,
            kafka_sasl_mechanism=self.mechanism,
            kafka_username=USER,
            kafka_password=self.password,
        )


def secured_servers(profile: SecuredProfile, kafka_jars: Sequence[Path]) -> list[Process]:
    """The servers in the order of their start."""
    authority = Authority(profile.authority)
    nodes = [_node(profile, number) for number in range(_NODES)]
    return [_kafka(profile, kafka_jars, authority), *nodes, _front(profile, authority), _mongo(profile, authority)]


def _kafka(profile: SecuredProfile, jars: Sequence[Path], authority: Authority) -> Process:
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    login, of = f'username="{USER}" password="{profile.password}"', "listener.name.sasl_ssl"
    properties = f"""\
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
{of}.scram-sha-512.sasl.jaas.config={scram} {login};
{of}.plain.sasl.jaas.config={plain} {login} user_{USER}="{profile.password}";
ssl.keystore.type=PEM
ssl.keystore.location={authority.both}
ssl.truststore.type=PEM
ssl.truststore.location={authority.ca_file}
{of}.ssl.client.auth={"required" if profile.wants_certificates else "none"}
"""
    user = f"SCRAM-SHA-512=[name={USER},password={profile.password}]"
    listener = servers.Listener("SASL_SSL", properties, ("--add-scram", user))
    return servers.kafka(profile, jars, listener, profile.kafka_settings())


def _node(profile: SecuredProfile, number: int) -> Process:
    """One of the cluster, which knows the others and its slots from its first start on."""
    folder, ports = profile.data / f"valkey-{number}", profile.ports
    port, bus, front = (ports[f"redis_{what}_{number}"] for what in ("node", "bus", "front"))
    options = {
        "requirepass": profile.password,
        "cluster-enabled": "yes",
        "cluster-config-file": "nodes.conf",
        "cluster-port": bus,
        "cluster-node-timeout": 5000,
        "cluster-announce-ip": HOST,
        "cluster-announce-port": front,
        "cluster-announce-bus-port": bus,
    }

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "nodes.conf"
        if not known.exists():
            known.write_text(_nodes(ports, number), encoding="ascii")

    async def ready() -> bool:
        client: Any = Redis(host=HOST, port=port, password=profile.password)
        async with client:
            try:
                return bool((await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok")
            except (RedisError, OSError):
                return False

    return Process(
        name=f"valkey-{number}",
        command=servers.valkey_command(folder, port, options),
        log=profile.logs / f"valkey-{number}.log",
        ready=ready,
        ports={"redis_node": port, "redis_bus": bus},
        prepare=prepare,
    )


def _nodes(ports: Mapping[str, int], me: int) -> str:
    """What a node keeps of its cluster in a file: who is in it, and which slots each has."""
    share = -(-_SLOTS // _NODES)
    lines = [
        f"{number + 1:040x} {HOST}:{ports[f'redis_front_{number}']}@{ports[f'redis_bus_{number}']} "
        f"{'myself,' if number == me else ''}master - 0 0 {number + 1} connected "
        f"{number * share}-{min(_SLOTS, (number + 1) * share) - 1}"
        for number in range(_NODES)
    ]
    return "\n".join([*lines, f"vars currentEpoch {_NODES} lastVoteEpoch 0", ""])


def _front(profile: SecuredProfile, authority: Authority) -> Process:
    """TLS before each node, at the port that it tells clients."""
    fronts = {f"redis_front_{number}": profile.ports[f"redis_front_{number}"] for number in range(_NODES)}
    pairs = [f"{port}:{profile.ports[name.replace('front', 'node')]}" for name, port in fronts.items()]
    clients = str(authority.ca_file) if profile.wants_certificates else "-"
    own = profile.certificate_file or None
    files: dict[str, Any] = {"ssl_ca_certs": str(profile.ca_file), "ssl_certfile": own, "ssl_keyfile": own}

    async def ready() -> bool:
        async with Redis.from_url(profile.redis_url, **files) as client:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False

    front = (sys.executable, "-m", "localstack.tls_front")
    return Process(
        name="tls-front",
        command=(*front, str(authority.certificate), str(authority.key), clients, *pairs),
        log=profile.logs / "tls-front.log",
        ready=ready,
        ports=fronts,
    )


def _mongo(profile: SecuredProfile, authority: Authority) -> Process:
    """SecantusDB, which makes its user while it still listens to everybody."""
    mongo = servers.mongo(profile)

    def prepare() -> None:
        mongo.prepare()
        if not (profile.data / "mongo" / "storage").exists():
            _make_user(mongo.command, profile)

    tls = ["--auth", "--tls-cert-file", str(authority.certificate), "--tls-key-file", str(authority.key)]
    uri = f"{profile.mongo_uri}&tlsCAFile={authority.ca_file}"
    if profile.wants_certificates:
        tls += ["--tls-ca-file", str(authority.ca_file), "--tls-require-client-cert"]
        uri += f"&tlsCertificateKeyFile={profile.certificate_file}"
    return replace(mongo, command=(*mongo.command, *tls), prepare=prepare, ready=readiness.mongo(uri))


def _make_user(command: Sequence[str], profile: SecuredProfile) -> None:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # our own
    try:
        with MongoClient[dict[str, object]](
            HOST, profile.ports["mongo"], serverSelectionTimeoutMS=int(_USER_WITHIN_S * 1000)
        ) as client:
            roles = [{"role": "readWrite", "db": DATABASE}]
            client[DATABASE].command("createUser", USER, pwd=profile.password, roles=roles)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(_USER_WITHIN_S)
