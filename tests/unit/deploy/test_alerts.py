"""Each alert fires on what it is for and on nothing less, and says so in words: deploy/prometheus/tests.yml.

The file is promtool's; what evaluates it here is tools/promql.py.
"""

import re
import runpy
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy/prometheus"
PROMQL = runpy.run_path(str(ROOT / "tools/promql.py"))
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
FILE = yaml.safe_load((PROMETHEUS / "tests.yml").read_text())
CASES = [(test, case) for test in FILE["tests"] for case in test["alert_rule_test"]]
STEP_S = 60
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(duration: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def firing(rule: dict[str, Any], series: list[dict[str, str]], until_s: int) -> list[dict[str, Any]]:
    """The alerts of `rule` after so long: each has held at every evaluation for as long as it must."""
    store, since = PROMQL["Store"](series, STEP_S), dict[Any, int]()
    held: dict[Any, float] = {}
    for now_s in range(0, until_s + 1, STEP_S):
        held = {frozenset(told(labels)): value for labels, value in store.at(rule["expr"], now_s).items()}
        since = {labels: since.get(labels, now_s) for labels in held}
    waited = [labels for labels in held if until_s - since[labels] >= seconds(rule.get("for", "0s"))]
    return [alert(rule, dict(labels), held[labels]) for labels in waited]


def told(labels: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in labels if name != "__name__"]


def alert(rule: dict[str, Any], labels: dict[str, str], value: float) -> dict[str, Any]:
    annotations = {name: worded(text, labels, value) for name, text in rule["annotations"].items()}
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}


def worded(text: str, labels: dict[str, str], value: float) -> str:
    """Prometheus' templates, as far as our rules use them."""
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels.get(match[1], ""), text)
    return re.sub(r"{{ \$value \| (\w+) }}", lambda match: HUMANIZED[match[1]](value), text)


def humanize(value: float) -> str:
    for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.4g}{prefix}"
    return f"{value:.4g}" if abs(value) >= 1 or not value else f"{value * 1e3:.4g}m"


def humanize_duration(value: float) -> str:
    whole = int(value)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    if value < 60:
        return f"{value:.4g}s"
    first = next(number for number, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first:])


HUMANIZED = {
    "humanize": humanize,
    "humanizePercentage": lambda value: f"{value * 100:.4g}%",
    "humanizeDuration": humanize_duration,
}


@pytest.mark.parametrize(
    ("test", "case"), CASES, ids=[f"{case['alertname']}-{test['name']}-{case['eval_time']}" for test, case in CASES]
)
def test_an_alert_fires_when_it_should(test: dict[str, Any], case: dict[str, Any]) -> None:
    """With these labels and words, after so long, and not before."""
    found = firing(RULES[case["alertname"]], test["input_series"], seconds(case["eval_time"]))
    assert sorted(found, key=str) == sorted(case["exp_alerts"], key=str)


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """One that never fires in a test may never fire; one that is never silent may never stop."""
    seen = defaultdict(set)
    for _, case in CASES:
        seen[case["alertname"]].add(bool(case["exp_alerts"]))
    assert seen == {name: {True, False} for name in RULES}
    assert FILE["rule_files"] == ["rules.yml"]
