"""Our own processes, in the order of their start."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from localstack import readiness
from localstack.processes import Process
from localstack.profile import Profile


class Service(NamedTuple):
    """The module that `python -m` runs, and the names of its ports besides that of its metrics."""

    module: str
    ports: Sequence[str] = ()


SERVICES: Final[dict[str, Service]] = {
    "documents": Service("documents"),
    "aggregates": Service("aggregates"),
    "scan": Service("signals.scan"),
    "notifier": Service("signals.notifier"),
    "ingest": Service("ingest", ("ingest",)),
    "query_api": Service("query_api", ("query_api",)),
    "lake_writer": Service("lake.writer"),
    "lake_maintenance": Service("lake.maintenance"),
    "lake_jobs": Service("lake.jobs"),
}


def services(profile: Profile, names: Sequence[str] = tuple(SERVICES)) -> list[Process]:
    """Those of our services that are called for."""
    return [_service(profile, name) for name in names]


def _service(profile: Profile, name: str) -> Process:
    metrics = f"{name}_metrics"
    return Process(
        name=name.replace("_", "-"),
        command=(sys.executable, "-m", SERVICES[name].module),
        log=profile.logs / f"{name.replace('_', '-')}.log",
        ready=readiness.http(f"{profile.metrics_url(name)}/readyz"),
        ports={port: profile.ports[port] for port in (*SERVICES[name].ports, metrics)},
        # One of each service, and always the same one: a worker that is started again has its partitions at once, and
        # need not wait until the one that was killed has been silent for long enough.
        environment={"TWINSTREAM_INSTANCE": "local", **profile.environment()},
        start_within_s=120,  # nine at once may take that on a busy machine
        stop_within_s=40,
    )
