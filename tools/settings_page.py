"""Writes docs/settings.md out of the services' own settings: `python tools/settings_page.py > docs/settings.md`."""

import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from aggregates.settings import AggregatesSettings
from common.settings import (
    HttpSettings,
    KafkaSettings,
    LakeSettings,
    MongoSettings,
    RebuildSettings,
    RecordSettings,
    RedisSettings,
    ResultSettings,
    SecretSettings,
    Settings,
    TargetSettings,
)
from documents.settings import DocumentsSettings
from ingest.settings import IngestSettings
from lake.settings import AuditSettings, JobsSettings, MaintenanceSettings, WriterSettings
from localstack.profile import DEFAULT_PORTS, port_variable
from query_api.settings import QueryApiSettings
from signals.notifier.settings import NotifierSettings
from signals.scan.settings import ScanSettings

_SHARED = {
    "Every process": Settings,
    "What speaks to Kafka": KafkaSettings,
    "What speaks to MongoDB": MongoSettings,
    "What speaks to Redis": RedisSettings,
    "What takes in records": RecordSettings,
    "What reads or writes the lake": LakeSettings,
    "What rebuilds": RebuildSettings,
    "What writes or hands out results of queries": ResultSettings,
    "What serves HTTP": HttpSettings,
    "What seals and signs": SecretSettings,
    "What sends, or says where to": TargetSettings,
}
_SERVICES = {
    "ingest": IngestSettings,
    "documents": DocumentsSettings,
    "aggregates": AggregatesSettings,
    "scan": ScanSettings,
    "notifier": NotifierSettings,
    "lake writer": WriterSettings,
    "lake maintenance": MaintenanceSettings,
    "lake jobs": JobsSettings,
    "an audit of the lake": AuditSettings,
    "query-api": QueryApiSettings,
}

_LOCAL = """\
## The local default and the command

`twinstream up` tells its services itself where the servers are: it overrides the addresses, and the secret, of its own
environment.

| variable | default | what for |
| --- | --- | --- |
| `TWINSTREAM_HOME` | `.twinstream` | data, logs, pids and the first key of `twinstream up` |
| `TWINSTREAM_URL` | the local query API | where the command finds the query API |
| `TWINSTREAM_INGEST_URL` | the local ingest | where the command finds ingest |
| `TWINSTREAM_KEY` | the first key | the API key that the command uses |
{ports}
"""

_HEAD = """\
# Settings

Read from the environment once, at the start; what it does not have may be a file in the folder that
`TWINSTREAM_SECRETS_DIR` names, called as its variable. A value that does not fit stops the start and names it.
An empty variable counts as absent. This page is written by `python tools/settings_page.py > docs/settings.md`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(), _local()])


def _local() -> str:
    """What only `twinstream up` and the command read."""
    ports = "\n".join(
        f"| `{port_variable(name)}` | `{port}` | port of {name.replace('_', ' ')} |"
        for name, port in DEFAULT_PORTS.items()
        if not name.endswith("_metrics") and name not in {"ingest", "query_api"}
    )
    return _LOCAL.format(ports=ports)


def _sections() -> Iterator[str]:
    shown: set[str] = set()
    for title, settings in {**_SHARED, **_SERVICES}.items():
        fields = {name: field for name, field in settings.model_fields.items() if name not in shown}
        shown |= set(fields)
        parts = [shared for shared, kind in _SHARED.items() if issubclass(settings, kind) and title in _SERVICES]
        yield f"## {title}\n"
        if parts:
            yield "Besides what stands under " + ", ".join(f"*{part}*" for part in parts) + ".\n"
        yield "| variable | default | what for |\n| --- | --- | --- |"
        yield "\n".join(_row(name, field) for name, field in fields.items()) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    return f"| `TWINSTREAM_{name.upper()}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "none: required"
    value = field.default.get_secret_value() if hasattr(field.default, "get_secret_value") else field.default
    return f"`{value}`" if value != "" else "empty"


if __name__ == "__main__":
    sys.stdout.write(page())
