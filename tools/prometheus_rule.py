"""Writes the alert rules as the Prometheus operator wants them: `python tools/prometheus_rule.py`."""

from pathlib import Path
from typing import Final

import yaml

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
TARGET: Final = DEPLOY / "k8s/components/monitoring/rules.yaml"


def resource() -> str:
    """The content of the file."""
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text(encoding="utf-8"))
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "twinstream"},
        "spec": rules,
    }
    head = "# Written by tools/prometheus_rule.py from deploy/prometheus/rules.yml.\n"
    return head + yaml.safe_dump(document, sort_keys=False, width=120)


if __name__ == "__main__":
    TARGET.write_text(resource(), encoding="utf-8")
