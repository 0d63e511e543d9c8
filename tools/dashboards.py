"""Writes Grafana's dashboards: `python tools/dashboards.py`. What is shown stands in the tables; the rest is layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parents[1] / "deploy/grafana/dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


class Query(NamedTuple):
    """A PromQL expression and what its lines are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A chart: its title, what it tells, Grafana's name of its unit, and its queries."""

    title: str
    tells: str
    unit: str
    queries: Sequence[Query]


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le')})"


def _two(metric: str, by: str, legend: str) -> list[Query]:
    """The middle and the slow end of a histogram."""
    return [Query(_quantile(share, metric, by), f"{legend} p{share * 100:g}") for share in (0.5, 0.99)]


DASHBOARDS: Final[dict[str, tuple[str, Sequence[Panel]]]] = {
    "flow": (
        "Twinstream: flow",
        [
            Panel(
                "Records taken in",
                "What clients send, by outcome.",
                "ops",
                [Query(_rate("twinstream_ingest_records_total", "stream, outcome"), "{{stream}} {{outcome}}")],
            ),
            Panel(
                "Records applied",
                "What each worker took from the log.",
                "ops",
                [Query(_rate("twinstream_records_applied_total", "service, outcome"), "{{service}} {{outcome}}")],
            ),
            Panel(
                "Acknowledged by Kafka",
                "From handing records to Kafka to its acknowledgement.",
                "s",
                _two("twinstream_publish_seconds", "topic", "{{topic}}"),
            ),
            Panel(
                "Records per batch",
                "Mean size: full batches are how workers catch up.",
                "short",
                [
                    Query(
                        f"{_rate('twinstream_apply_batch_records_sum', 'service')} / "
                        f"{_rate('twinstream_apply_batch_records_count', 'service')}",
                        "{{service}}",
                    )
                ],
            ),
        ],
    ),
    "lag": (
        "Twinstream: lag",
        [
            Panel(
                "Lag by service and topic",
                "Records in the log that a worker has not applied.",
                "short",
                [Query("sum by (service, topic) (twinstream_consumer_lag)", "{{service}} {{topic}}")],
            ),
            Panel(
                "Lag by partition, the worst ten",
                "One that lags alone is a stuck replica or a hot id.",
                "short",
                [Query("topk(10, twinstream_consumer_lag)", "{{service}} {{topic}}/{{partition}}")],
            ),
            Panel(
                "Whether it grows",
                "Records a second: above zero the worker falls behind.",
                "ops",
                [Query("sum by (service, topic) (deriv(twinstream_consumer_lag[10m]))", "{{service}} {{topic}}")],
            ),
            Panel(
                "Control",
                "How far each process is behind the newest key, rule or condition that any of them has read.",
                "short",
                [
                    Query(
                        "scalar(max(twinstream_control_offset)) - twinstream_control_offset",
                        "{{process}} {{instance}}",
                    )
                ],
            ),
        ],
    ),
    "freshness": (
        "Twinstream: freshness",
        [
            Panel(
                "Age of a record when it shows",
                "From its ingestion to its being visible in the store.",
                "s",
                _two("twinstream_record_age_seconds", "service, stream", "{{service}} {{stream}}"),
            ),
            Panel(
                "Windows and log",
                "Ids of the last audit's sample that they do not agree on.",
                "short",
                [Query("max by (stream) (twinstream_window_drift_ids)", "{{stream}}")],
            ),
            Panel(
                "Ids compared",
                "How many the audits look at.",
                "ops",
                [Query(_rate("twinstream_window_audited_ids_total", "stream"), "{{stream}}")],
            ),
            Panel(
                "Late, and conditions that fail",
                "Records older than the horizon; conditions that could not be decided.",
                "ops",
                [
                    Query(_rate("twinstream_late_records_total", "stream"), "late {{stream}}"),
                    Query(_rate("twinstream_condition_failures_total", "condition"), "failing {{condition}}"),
                ],
            ),
        ],
    ),
    "stores": (
        "Twinstream: stores",
        [
            Panel(
                "Calls to stores",
                "How long they take.",
                "s",
                _two("twinstream_store_seconds", "service, operation", "{{service}} {{operation}}"),
            ),
            Panel(
                "Calls a second",
                "By service and operation.",
                "ops",
                [Query(_rate("twinstream_store_seconds_count", "service, operation"), "{{service}} {{operation}}")],
            ),
            Panel(
                "Calls that found the store away",
                "Each is tried again: nothing is lost, everything waits.",
                "ops",
                [Query(_rate("twinstream_store_failures_total", "service"), "{{service}}")],
            ),
            Panel(
                "Memory of our processes",
                "As the system counts it.",
                "bytes",
                [Query("process_resident_memory_bytes{process!=''}", "{{process}} {{instance}}")],
            ),
        ],
    ),
    "http": (
        "Twinstream: requests",
        [
            Panel(
                "Requests",
                "By service and status.",
                "reqps",
                [Query(_rate("twinstream_http_requests_total", "service, status"), "{{service}} {{status}}")],
            ),
            Panel(
                "Time to the answer, by route",
                "The slow end.",
                "s",
                [
                    Query(
                        _quantile(0.99, "twinstream_http_request_seconds", "service, route"),
                        "{{service}} {{route}} p99",
                    )
                ],
            ),
            Panel(
                "Share that fails",
                "5xx among all.",
                "percentunit",
                [
                    Query(
                        _rate('twinstream_http_requests_total{status=~"5.."}', "service")
                        + " / "
                        + _rate("twinstream_http_requests_total", "service"),
                        "{{service}}",
                    )
                ],
            ),
            Panel(
                "Records per request",
                "Mean, by stream.",
                "short",
                [
                    Query(
                        f"{_rate('twinstream_ingest_batch_records_sum', 'stream')} / "
                        f"{_rate('twinstream_ingest_batch_records_count', 'stream')}",
                        "{{stream}}",
                    )
                ],
            ),
        ],
    ),
}


def files() -> dict[str, str]:
    """The content of each dashboard's file, by its name."""
    return {f"{uid}.json": _file(uid, title, panels) for uid, (title, panels) in DASHBOARDS.items()}


def _file(uid: str, title: str, panels: Sequence[Panel]) -> str:
    dashboard = {
        "uid": f"twinstream-{uid}",
        "title": title,
        "tags": ["twinstream"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "links": [{"title": "Twinstream", "type": "dashboards", "tags": ["twinstream"], "asDropdown": True}],
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.tells,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": {"lineWidth": 1, "fillOpacity": 8, "axisSoftMin": 0}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
