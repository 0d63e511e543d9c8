"""Writes Grafana's dashboards: `python tools/dashboards.py`. deploy/grafana/dashboards.toml says what is shown."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

GRAFANA: Final = Path(__file__).parents[1] / "deploy/grafana"
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2

Table = dict[str, Any]


def files() -> dict[str, str]:
    """The content of each dashboard's file, by its name."""
    dashboards = tomllib.loads((GRAFANA / "dashboards.toml").read_text(encoding="utf-8"))
    return {f"{uid}.json": _file(uid, table["title"], table["panels"]) for uid, table in dashboards.items()}


def _file(uid: str, title: str, panels: Sequence[Table]) -> str:
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


def _panel(number: int, panel: Table) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel["tells"],
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel["unit"], "custom": {"lineWidth": 1, "fillOpacity": 8, "axisSoftMin": 0}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query["expr"],
                "legendFormat": query["legend"],
            }
            for index, query in enumerate(panel["queries"])
        ],
    }


if __name__ == "__main__":
    for name, content in files().items():
        (GRAFANA / "dashboards" / name).write_text(content, encoding="utf-8")
