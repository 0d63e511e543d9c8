"""deploy/k8s: what kustomize builds, against Kubernetes' own schemas and what the processes say of themselves."""

import copy
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import typer
import yaml
from jsonschema import Draft7Validator

from archive.archive import ArchiveSettings
from common.contracts import ALERTS, RECORDS
from common.settings import PREFIX, KafkaSettings, RedisSettings, Settings
from twinstream.__main__ import app

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ["dev", "prod"]
# Of operators, from their own definitions: see tools/custom_resource_schemas.py.
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (K8S / "schemas").iterdir()}
# The setting that names a server: the label of those who may speak to it.
SPEAKS = {"kafka_bootstrap": "kafka", "mongo_uri": "mongo", "redis_url": "redis"}
# The lake's tables have one writer each, and its catalog is a file.
ONCE_EACH = {"lake-writer", "lake-maintenance", "lake-jobs"}
STAYS = {"Deployment", "StatefulSet"}
WORKLOADS = {*STAYS, "Job", "CronJob"}

Object = dict[str, Any]


@cache
def build(overlay: str) -> list[Object]:
    """What `kubectl apply -k` would send."""
    return list(yaml.safe_load_all(kustomized(K8S / "overlays" / overlay)))


def kustomized(folder: Path) -> str:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in build(overlay) if item["kind"] in kinds}


def ours(overlay: str, *kinds: str) -> dict[str, Object]:
    """Those that run our own images."""
    found = of_kind(overlay, *(kinds or WORKLOADS))
    return {name: item for name, item in found.items() if "twinstream-" in main(item)["image"]}


def pod(item: Object) -> Object:
    spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    template: Object = spec["template"]
    return template


def main(item: Object) -> Object:
    (container,) = pod(item)["spec"]["containers"]
    return dict(container)


def variables(overlay: str, item: Object) -> dict[str, Any]:
    """What the container is told, by name: a value, or where it comes from."""
    container = main(item)
    found: dict[str, Any] = {}
    for source in container.get("envFrom", []):
        found |= of_kind(overlay, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    told = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}
    return found | {name: _looked_up(overlay, value) for name, value in told.items()}


def _looked_up(overlay: str, value: Any) -> Any:
    """What a ConfigMap holds, in place of where it is."""
    if not isinstance(value, dict) or "configMapKeyRef" not in value:
        return value
    place = value["configMapKeyRef"]
    return of_kind(overlay, "ConfigMap")[place["name"]]["data"][place["key"]]


def objections(item: Object) -> list[str]:
    """What its operator's own schema has against an object."""
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMAS[item["kind"]]).iter_errors(item)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_what_its_schema_says(overlay) -> None:
    """Kubernetes' own strictly, operators' by the definitions that come with them: what they do not know is wrong."""
    for item in build(overlay):
        if item["kind"] in SCHEMAS:
            assert objections(item) == [], item["metadata"]["name"]
        else:
            kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_an_operators_schema_finds_what_is_wrong(kind: str) -> None:
    """A word that it does not know at any depth, and a value of another type; no schema is left without an object."""
    item = next(item for item in build("prod") if item["kind"] == kind)
    for place in places(item["spec"]):
        wrong = copy.deepcopy(item)
        found = wrong["spec"]
        for step in place:
            found = found[step]
        found["mispelt"] = "yes"
        assert objections(wrong) or free(kind, place), place
    assert objections({**item, "spec": "none"})
    assert objections({**item, "apiVersion": "v0"})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every object within."""
    if isinstance(value, dict):
        yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else []):
        yield from places(part, (*path, key))


def free(kind: str, place: tuple[Any, ...]) -> bool:
    """Whether anything may be called anything here: settings of others, labels and the like."""
    schema = SCHEMAS[kind]["properties"]["spec"]
    for step in place:
        schema = schema["items"] if isinstance(step, int) else schema["properties"][step]
    return "properties" not in schema


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_has_a_workload_and_no_workload_has_none(parts, overlay) -> None:
    """What `twinstream up` starts, a cluster starts, under the same name and from its own image."""
    found = ours(overlay, *STAYS)
    assert {part.name for part in parts} == set(found), "see docs/deploy.md, 'A new process'"
    for part in parts:
        container = main(found[part.name])
        assert container["args"] == [part.module]
        assert container["image"].rpartition("/")[2].partition(":")[0] == f"twinstream-{part.extra}"
        assert ":" in container["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_port_is_the_processs_own(parts, overlay) -> None:
    """Of its pod, of its Service, and of its probes; workers have no Service."""
    services = of_kind(overlay, "Service")
    for part in parts:
        container = main(ours(overlay)[part.name])
        listens = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert listens == {"metrics": part.metrics_port} | dict(zip(["http"], part.ports.values(), strict=False))
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        served = services.get(part.name, {"spec": {"ports": [], "selector": {"app.kubernetes.io/name": part.name}}})
        assert [port["port"] for port in served["spec"]["ports"]] == list(part.ports.values())
        assert served["spec"]["selector"].items() <= pod(ours(overlay)[part.name])["metadata"]["labels"].items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_one_that_the_process_reads(parts, overlay) -> None:
    """None that it does not know, none missing that it needs; what may hold a password comes from the Secret alone."""
    for part in parts:
        told = variables(overlay, ours(overlay)[part.name])
        servers = {f"TWINSTREAM_{name.upper()}" for name in SPEAKS if name in part.settings.model_fields}
        assert set(told) <= part.variables, part.name
        assert part.required | servers <= set(told), part.name
        secret = {
            f"TWINSTREAM_{n.upper()}" for n, f in part.settings.model_fields.items() if "Secret" in str(f.annotation)
        }
        for name in secret & set(told) - {"TWINSTREAM_KAFKA_PASSWORD"}:  # which Strimzi makes
            assert told[name] == {"secretKeyRef": {"name": "twinstream", "key": name}}
    assert not of_kind(overlay, "Secret")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_arrows_of_the_design_are_open(parts, overlay) -> None:
    """A pod may speak to the servers that its settings name and to no other; who serves HTTP may be spoken to."""
    for part in parts:
        labels = pod(ours(overlay)[part.name])["metadata"]["labels"]
        speaks = {label.partition("speaks-")[2] for label in labels if "speaks-" in label}
        assert speaks == {server for name, server in SPEAKS.items() if name in part.settings.model_fields}, part.name
        assert ("twinstream/serves-http" in labels) == bool(part.ports)
        assert labels["app.kubernetes.io/part-of"] == "twinstream"
    policies = of_kind(overlay, "NetworkPolicy")
    closed = policies["nothing-else"]["spec"]
    assert closed == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "twinstream"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    reaching = {
        name for name, item in ours(overlay).items() if "twinstream/reaches-out" in pod(item)["metadata"]["labels"]
    }
    assert reaching == {"notifier"}
    bootstrap = variables(overlay, ours(overlay)["ingest"])["TWINSTREAM_KAFKA_BOOTSTRAP"]
    for server, port in {"kafka": int(bootstrap.rpartition(":")[2]), "mongo": 27017, "redis": 6379}.items():
        (egress,) = policies[server]["spec"]["egress"]
        assert egress["ports"] == [{"protocol": "TCP", "port": port}]
        assert policies[server]["spec"]["podSelector"] == {"matchLabels": {f"twinstream/speaks-{server}": "yes"}}


def test_in_the_small_cluster_every_address_is_a_servers() -> None:
    """The name is a Service's, the port is its own, and behind it are pods that may be spoken to."""
    services, pods = of_kind("dev", "Service"), of_kind("dev", "StatefulSet")
    bootstrap = variables("dev", ours("dev")["ingest"])["TWINSTREAM_KAFKA_BOOTSTRAP"]
    addresses = {"kafka": bootstrap, "mongo": "mongo:27017", "redis": "valkey:6379"}
    for server, address in addresses.items():
        name, _, port = address.partition(":")
        assert [p["port"] for p in services[name]["spec"]["ports"]] == [int(port)]
        assert pod(pods[name])["metadata"]["labels"]["twinstream/server"] == server
    told = (ROOT / "docs/deploy.md").read_text()
    assert "mongodb://mongo:27017/?replicaSet=rs0" in told
    assert "redis://valkey:6379/0" in told


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_within_limits(overlay) -> None:
    """As the namespace enforces it: no root, no rights to gain; ours write nowhere but /tmp."""
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, item in of_kind(overlay, *WORKLOADS).items():
        spec, container = pod(item)["spec"], main(item)
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
    for item in ours(overlay).values():
        assert main(item)["securityContext"]["readOnlyRootFilesystem"]
        assert pod(item)["spec"]["securityContext"]["runAsUser"] == 10001


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rollout_and_a_drained_node_leave_someone_at_work(parts, overlay) -> None:
    """A budget for each process, time to finish, replicas apart; an HTTP service never has fewer than it should."""
    budgets = of_kind(overlay, "PodDisruptionBudget")
    assert set(budgets) == {part.name for part in parts}
    for part in parts:
        item = ours(overlay)[part.name]
        labels = pod(item)["metadata"]["labels"]
        assert budgets[part.name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert pod(item)["spec"]["terminationGracePeriodSeconds"] > 35
        assert {c["topologyKey"] for c in pod(item)["spec"]["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        if part.ports:
            assert item["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_follows_the_log_keeps_its_name_over_a_restart(parts, overlay) -> None:
    """And gets its partitions back. Pods of a Deployment have new names: the old ones would be waited for in vain."""
    for part in parts:
        item, told = ours(overlay)[part.name], variables(overlay, ours(overlay)[part.name])
        # What runs once is no member of a group, and is to come back elsewhere when its node is gone.
        follows = "kafka_bootstrap" in part.settings.model_fields and not part.ports and part.name not in ONCE_EACH
        assert (item["kind"] == "StatefulSet") == follows, part.name
        own_name = {"fieldRef": {"fieldPath": "metadata.name"}} if follows else None
        assert told.get("TWINSTREAM_INSTANCE") == own_name, part.name
        if follows:
            assert item["spec"].get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
            assert int(told["TWINSTREAM_SESSION_TIMEOUT_MS"]) > KafkaSettings().session_timeout_ms


@pytest.mark.parametrize(("overlay", "partitions", "replication"), [("dev", "4", "1"), ("prod", "12", "3")])
def test_topics_and_the_first_key_are_made_by_the_command(overlay, partitions, replication) -> None:
    """A Job calls it with options that it parses, and a key that the Secret holds."""
    job = ours(overlay, "Job")["init"]
    module, command, *arguments = main(job)["args"]
    parsed = typer.main.get_command(app).commands[command].make_context(command, arguments).params
    assert (module, command) == ("twinstream", "init")
    assert (parsed["partitions"], parsed["replication"]) == (int(partitions), int(replication))
    assert parsed["given_key"]
    assert variables(overlay, job)["TWINSTREAM_KEY"] == {
        "secretKeyRef": {"name": "twinstream", "key": "TWINSTREAM_KEY"}
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_cannot_be_rebuilt_is_kept_each_day(overlay) -> None:
    """By the command, with options that it parses, onto a volume that outlives the pod; never two at a time."""
    (job,) = ours(overlay, "CronJob").values()
    module, command, *arguments = main(job)["args"]
    parsed = typer.main.get_command(app).commands[command].make_context(command, arguments).params
    assert (module, command, job["spec"]["concurrencyPolicy"]) == ("twinstream", "backup", "Forbid")
    assert parsed["keep"] >= 7
    assert str(parsed["file"].parent) == claimed(job)["backups"]
    assert "backups" in of_kind(overlay, "PersistentVolumeClaim")
    told, needed = set(variables(overlay, job)), {"TWINSTREAM_KAFKA_BOOTSTRAP", "TWINSTREAM_MONGO_URI"}
    assert needed <= told <= {PREFIX + name.upper() for name in ArchiveSettings.model_fields}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_that_ends_is_as_narrow_as_one_that_stays(overlay) -> None:
    """Jobs speak to the servers of their settings alone, and what patches do not reach is like what they make."""
    kinds = {"init": KafkaSettings, "backup": ArchiveSettings}
    jobs = ours(overlay, "Job", "CronJob")
    assert set(jobs) == set(kinds)
    for name, item in jobs.items():
        labels = pod(item)["metadata"]["labels"]
        speaks = {label.partition("speaks-")[2] for label in labels if "speaks-" in label}
        assert speaks == {server for field, server in SPEAKS.items() if field in kinds[name].model_fields}, name
        assert labels["app.kubernetes.io/part-of"] == "twinstream"
        assert pod(item)["spec"]["restartPolicy"] == "OnFailure"
        assert pod(item)["spec"]["enableServiceLinks"] is False
    stays = ours(overlay)["documents"]
    assert main(jobs["backup"])["securityContext"] == main(stays)["securityContext"]
    assert pod(jobs["backup"])["spec"]["securityContext"].items() > pod(stays)["spec"]["securityContext"].items()
    assert variables(overlay, jobs["backup"]).items() <= variables(overlay, stays).items()
    assert mounted(jobs["backup"]) <= mounted(stays)


def claimed(item: Object) -> dict[str, str]:
    """Where the container has each volume that outlives the pod, by the claim's name."""
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod(item)["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    return {claims[m["name"]]: m["mountPath"] for m in main(item)["volumeMounts"] if m["name"] in claims}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_volume_is_claimed_as_its_pods_use_it(overlay) -> None:
    """Its owner may write it; several nodes may only where a provisioner for that is expected."""
    claims = of_kind(overlay, "PersistentVolumeClaim")
    used = {claim for item in ours(overlay).values() for claim in claimed(item)}
    assert used == set(claims)
    for name, item in ours(overlay).items():
        writable = {mount["mountPath"] for mount in main(item)["volumeMounts"] if not mount.get("readOnly")}
        if writable & set(claimed(item).values()):
            assert pod(item)["spec"]["securityContext"]["fsGroup"] == 10001, name
    modes = {name: claim["spec"]["accessModes"] for name, claim in claims.items()}
    shared = ["ReadWriteOnce"] if overlay == "dev" else ["ReadWriteMany"]
    assert modes == {"lake": ["ReadWriteOnce"], "backups": ["ReadWriteOnce"], "lake-results": shared}


def test_production_scales_every_process_and_no_further_than_partitions(parts) -> None:
    """HTTP services by CPU, workers by the lag of their own group on topics that there are; never fewer than two."""
    by_cpu, by_lag = of_kind("prod", "HorizontalPodAutoscaler"), of_kind("prod", "ScaledObject")
    partitions = int(main(ours("prod", "Job")["init"])["args"][4])
    bootstrap = variables("prod", ours("prod")["documents"])["TWINSTREAM_KAFKA_BOOTSTRAP"]
    assert set(by_cpu) | set(by_lag) == {part.name for part in parts} - ONCE_EACH
    for part in parts:
        if part.name in ONCE_EACH:
            assert ours("prod")[part.name]["spec"]["replicas"] == 1
            continue
        if part.ports:
            assert by_cpu[part.name]["spec"]["scaleTargetRef"]["name"] == part.name
            assert by_cpu[part.name]["spec"]["minReplicas"] >= 2
            continue
        spec = by_lag[part.name]["spec"]
        assert spec["scaleTargetRef"] == {"kind": "StatefulSet", "name": part.name}
        assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= partitions
        triggers = [trigger["metadata"] for trigger in spec["triggers"]]
        assert {trigger["topic"] for trigger in triggers} <= {*RECORDS.values(), ALERTS}
        assert {trigger["consumerGroup"] for trigger in triggers} == {part.name}
        assert {trigger["bootstrapServers"] for trigger in triggers} == {bootstrap}


def test_production_speaks_tls_and_logs_in_everywhere(parts) -> None:
    """Each process, and the Job, takes what it is told; every file of authorities is one that is mounted."""
    addresses = {"TWINSTREAM_MONGO_URI": "mongodb://us:word@host/?tls=true", "TWINSTREAM_REDIS_URL": "rediss://host"}
    kinds = {part.name: part.settings for part in parts} | {"init": KafkaSettings, "backup": ArchiveSettings}
    for name, kind in kinds.items():
        item = ours("prod")[name]
        told = variables("prod", item)
        given = {n: addresses.get(n, "ab" * 32) if isinstance(value, dict) else value for n, value in told.items()}
        settings = kind(**{n.removeprefix(PREFIX).lower(): value for n, value in given.items()})
        ca_files = {field: getattr(settings, field) for field in kind.model_fields if field.endswith("_ca_file")}
        assert set(ca_files.values()) <= mounted(item), name
        if isinstance(settings, KafkaSettings):
            assert (settings.kafka_tls, settings.kafka_sasl_mechanism) == (True, "SCRAM-SHA-512")
        if isinstance(settings, RedisSettings):
            assert settings.redis_cluster


def mounted(item: Object) -> set[str]:
    """The files out of Secrets that the container finds, by their paths."""
    secrets = {volume["name"]: volume["secret"] for volume in pod(item)["spec"]["volumes"] if "secret" in volume}
    return {
        f"{mount['mountPath']}/{entry['path']}"
        for mount in main(item)["volumeMounts"]
        for entry in secrets.get(mount["name"], {"items": []})["items"]
    }


def test_kafka_knows_who_logs_in_and_so_does_what_looks_at_lag() -> None:
    """One user and one authority, both of Strimzi's making: the names are those of the objects that make them."""
    (kafka,), (user,) = ([item for item in build("prod") if item["kind"] == kind] for kind in ("Kafka", "KafkaUser"))
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    login, name = {"type": "scram-sha-512"}, user["metadata"]["name"]
    ca = f"{kafka['metadata']['name']}-cluster-ca-cert"
    assert (listener["tls"], listener["authentication"], user["spec"]["authentication"]) == (True, login, login)
    assert "userOperator" in kafka["spec"]["entityOperator"]
    assert user["metadata"]["labels"] == {"strimzi.io/cluster": kafka["metadata"]["name"]}
    password = {"secretKeyRef": {"name": name, "key": "password"}}
    for part, item in ours("prod").items():
        told = variables("prod", item)
        if "TWINSTREAM_KAFKA_BOOTSTRAP" in told:
            assert (told["TWINSTREAM_KAFKA_USERNAME"], told["TWINSTREAM_KAFKA_PASSWORD"]) == (name, password), part
            assert f":{listener['port']}" in told["TWINSTREAM_KAFKA_BOOTSTRAP"]
            assert ca in {volume.get("secret", {}).get("secretName") for volume in pod(item)["spec"]["volumes"]}
    (keda,) = of_kind("prod", "TriggerAuthentication").values()
    assert keda["spec"]["env"] == [
        {"parameter": "username", "name": "TWINSTREAM_KAFKA_USERNAME", "containerName": "main"}
    ]
    assert {(one["parameter"], one["name"], one["key"]) for one in keda["spec"]["secretTargetRef"]} == {
        ("password", name, "password"),
        ("ca", ca, "ca.crt"),
    }
    for scaled in of_kind("prod", "ScaledObject").values():
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["authenticationRef"] == {"name": keda["metadata"]["name"]}
            assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")


def test_traces_go_where_they_may(parts, tmp_path) -> None:
    """With the component for it: every process is told of a receiver, in a namespace and at a port it may reach."""
    within = os.path.relpath(K8S, tmp_path.resolve())
    parts_of = {"resources": [f"{within}/overlays/prod"], "components": [f"{within}/components/tracing"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "twinstream", **parts_of}))
    found = list(yaml.safe_load_all(kustomized(tmp_path)))
    named = {(item["kind"], item["metadata"]["name"]): item for item in found}
    for part in parts:
        kind = ours("prod")[part.name]["kind"]
        (source,) = main(named[kind, part.name])["envFrom"]
        told = named["ConfigMap", source["configMapRef"]["name"]]["data"]
        assert set(told) == {"TWINSTREAM_LOG_LEVEL", "TWINSTREAM_OTLP_ENDPOINT", "TWINSTREAM_OTLP_SAMPLE_RATIO"}
        assert set(told) <= part.variables
        at = urlsplit(told["TWINSTREAM_OTLP_ENDPOINT"])
        Settings(otlp_endpoint=at.geturl(), otlp_sample_ratio=told["TWINSTREAM_OTLP_SAMPLE_RATIO"])
    policy = named["NetworkPolicy", "collector"]
    kubernetes_validate.validate(policy, kubernetes_validate.latest_version(), strict=True)
    (egress,) = policy["spec"]["egress"]
    (to,) = egress["to"]
    assert (at.hostname or "").endswith("." + to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
    assert [one["port"] for one in egress["ports"]] == [at.port]


def test_production_is_seen_and_reached(parts) -> None:
    """Metrics of every pod under the name that alerts use, the very rules of Prometheus, and every HTTP service."""
    (monitor,) = of_kind("prod", "PodMonitor").values()
    assert monitor["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/part-of": "twinstream"}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["relabelings"][0]["targetLabel"]) == ("metrics", "process")
    resource = runpy.run_path(str(ROOT / "tools/prometheus_rule.py"))["resource"]()
    assert (K8S / "components/monitoring/rules.yaml").read_text() == resource, "run tools/prometheus_rule.py"
    (ingress,) = of_kind("prod", "Ingress").values()
    paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert {path["backend"]["service"]["name"] for path in paths} == {part.name for part in parts if part.ports}


def test_images_of_others_are_the_same_as_on_one_docker_host() -> None:
    """One place is upgraded with the other."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    servers = of_kind("dev", "StatefulSet").keys() - ours("dev").keys()
    assert {main(of_kind("dev", "StatefulSet")[name])["image"] for name in servers} == {
        services[name]["image"] for name in ("kafka", "mongo", "valkey")
    }
    (kafka,) = [item for item in build("prod") if item["kind"] == "Kafka"]
    assert services["kafka"]["image"] == f"apache/kafka:{kafka['spec']['kafka']['version']}"
