"""Alert rules and dashboards ask only for what the processes tell, and every alert leads somewhere."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from common import metrics

ROOT = Path(__file__).parents[3]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
DASHBOARDS = runpy.run_path(str(ROOT / "tools/dashboards.py"))["files"]()
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
# What a scrape adds, and what others tell that our alerts read.
SCRAPED = {"process", "instance", "job", "namespace", "pod", "le"}
OTHERS = {
    "up": {"process"},
    "process_resident_memory_bytes": {"process"},
    "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
}


def expressions() -> Iterator[tuple[str, str]]:
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for name, content in DASHBOARDS.items():
        for panel in json.loads(content)["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m")


EXPRESSIONS = list(expressions())


def told() -> dict[str, set[str]]:
    """Every sample's name that our processes can show, with its labels."""
    known = {}
    for metric in [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]:
        for family in metric.describe():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            known |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    return known


def nodes(node: Any) -> Iterator[Any]:
    """`node` and every part of its expression."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from nodes(child)
    for child in getattr(node, "args", None) or []:
        yield from nodes(child)


def selectors(node: Any) -> list[Any]:
    return [part for part in nodes(node) if isinstance(part, promql.VectorSelector)]


def test_there_is_something_to_look_at() -> None:
    """A check of nothing would hold for ever."""
    assert len(EXPRESSIONS) > 30
    assert {"twinstream_consumer_lag", "twinstream_store_seconds_bucket"} <= set(told())


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_an_expression_asks_for_what_is_told(name: str, expression: str) -> None:
    """It is PromQL, and every metric, every label that it selects or groups by is one that some process shows."""
    known = told() | OTHERS
    parsed = promql.parse(expression)
    for selector in selectors(parsed):
        assert selector.name in known, name
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name] | SCRAPED
    for part in nodes(parsed):
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            for selector in selectors(part.expr):
                assert set(part.modifier.labels) <= known[selector.name] | SCRAPED


def test_no_metric_is_told_in_vain() -> None:
    """Each is on a dashboard, or it would only be found by those who know that it is there."""
    shown = {s.name for name, expression in EXPRESSIONS if ".json" in name for s in selectors(promql.parse(expression))}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told()}
    in_vain = families - {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert in_vain == set(), "put it into deploy/grafana/dashboards.toml and run tools/dashboards.py"


def test_the_dashboards_are_what_the_tables_say() -> None:
    """They are written by tools/dashboards.py, and by no hand."""
    folder = ROOT / "deploy/grafana/dashboards"
    assert {path.name: path.read_text() for path in folder.iterdir()} == DASHBOARDS


def test_no_process_can_go_unnoticed(parts) -> None:
    """A worker that is not there reports no lag: that it is missing is an alert of its own, for each."""
    (missing,) = [rule for rule in ALERTS if rule["alert"] == "ProcessMissing"]
    named = {m.value for s in selectors(promql.parse(missing["expr"])) for m in s.matchers.matchers}
    assert named == {part.name for part in parts}, "see docs/deploy.md, 'A new process'"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    """Its runbook is there, names it, and no runbook is left without an alert."""
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in (ROOT / rule["annotations"]["runbook"]).read_text()
    books = {f"docs/runbooks/{path.name}" for path in (ROOT / "docs/runbooks").iterdir()}
    assert {rule["annotations"]["runbook"] for rule in ALERTS} == books


def test_an_alerts_summary_speaks_of_labels_that_it_has() -> None:
    """A label that an expression sums away would read as nothing."""
    for rule in ALERTS:
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        parsed = promql.parse(rule["expr"])
        groups = [
            set(part.modifier.labels)
            for part in nodes(parsed)
            if isinstance(part, promql.AggregateExpr) and part.modifier is not None
        ]
        kept = (
            set.intersection(*groups) if groups else set.union(*(OTHERS[s.name] for s in selectors(parsed))) | SCRAPED
        )
        assert used <= kept, rule["alert"]
