"""Evaluates as much of PromQL as our alert rules use, for tests that no Prometheus runs in.

What it does is what Prometheus 2 and 3 do: samples of the past five minutes, counters that start anew, rates that are
extrapolated to their window (promql/functions.go). deploy/prometheus/tests.yml is in promtool's format, so that whoever
has promtool at hand may let it judge: `promtool test rules deploy/prometheus/tests.yml`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import promql_parser as promql

Labels = frozenset[tuple[str, str]]
Samples = Sequence[tuple[float, float]]
Vector = dict[Labels, float]

LOOKBACK_S: Final = 300.0
_NAME: Final = "__name__"
_SERIES: Final = re.compile(r"(\w+)(?:\{(.*)\})?$")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_VALUES: Final = re.compile(r"(_|-?[\d.]+)(?:([+-][\d.]+))?(?:x(\d+))?$")


class Store:
    """Series by their labels, the name among them."""

    def __init__(self, series: Iterable[Mapping[str, str]], interval_s: float) -> None:
        """`series` as promtool reads them: `series: 'up{job="x"}'`, `values: '0 1+2x10 _x3'`."""
        self._series = {labels_of(one["series"]): list(_samples(one["values"], interval_s)) for one in series}

    def at(self, expression: str, now_s: float) -> Vector:
        """The instant vector of `expression`; of a number, that number without labels."""
        return self._value(promql.parse(expression), now_s)

    def _value(self, node: Any, now_s: float) -> Any:
        kind = type(node).__name__
        match kind:
            case "NumberLiteral":
                return node.val
            case "ParenExpr":
                return self._value(node.expr, now_s)
            case "VectorSelector":
                return {labels: samples[-1][1] for labels, samples in self._selected(node, now_s, LOOKBACK_S)}
            case "AggregateExpr":
                return _aggregated(str(node.op), node.modifier, self._value(node.expr, now_s))
            case "BinaryExpr":
                return _combined(str(node.op).strip(), self._value(node.lhs, now_s), self._value(node.rhs, now_s))
            case "Call":
                return self._called(node, now_s)
        raise NotImplementedError(kind)

    def _called(self, node: Any, now_s: float) -> Any:
        name, arguments = node.func.name, node.args
        if name == "absent":
            return {} if self._value(arguments[0], now_s) else {_equalities(arguments[0]): 1.0}
        if name == "scalar":
            values = list(self._value(arguments[0], now_s).values())
            return values[0] if len(values) == 1 else math.nan
        if name == "histogram_quantile":
            return _quantiles(self._value(arguments[0], now_s), self._value(arguments[1], now_s))
        span_s = arguments[0].range.total_seconds()
        further = [self._value(one, now_s) for one in arguments[1:]]
        found = {}
        for labels, samples in self._selected(arguments[0].vector_selector, now_s, span_s):
            if len(samples) > 1:
                found[_unnamed(labels)] = _OVER_TIME[name](samples, now_s, span_s, *further)
        return found

    def _selected(self, node: Any, now_s: float, span_s: float) -> Iterator[tuple[Labels, Samples]]:
        wanted = [(_NAME, "=", node.name)]
        wanted += [(one.name, _OPERATORS[str(one.op)], one.value) for one in node.matchers.matchers]
        for labels, samples in self._series.items():
            within = [(at_s, value) for at_s, value in samples if now_s - span_s < at_s <= now_s]
            if within and all(_matches(dict(labels).get(name, ""), *how) for name, *how in wanted):
                yield labels, within


def labels_of(series: str) -> Labels:
    """The labels in `up{job="x"}`, its name among them."""
    match = _SERIES.match(series)
    if match is None:
        raise ValueError(series)
    return frozenset({(_NAME, match[1]), *_LABEL.findall(match[2] or "")})


def _samples(values: str, interval_s: float) -> Iterator[tuple[float, float]]:
    at = 0
    for word in values.split():
        match = _VALUES.match(word)
        if match is None:
            raise ValueError(word)
        first, step, times = match.groups()
        many = int(times) if times else 0
        if first == "_":
            at += max(1, many)
            continue
        for number in range(many + 1):
            yield at * interval_s, float(first) + float(step or 0) * number
            at += 1


_OPERATORS: Final = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _matches(found: str, operator: str, wanted: str) -> bool:
    same = found == wanted if operator in {"=", "!="} else re.fullmatch(wanted, found) is not None
    return same == (operator in {"=", "=~"})


def _unnamed(labels: Labels) -> Labels:
    return frozenset(one for one in labels if one[0] != _NAME)


def _equalities(node: Any) -> Labels:
    return frozenset((one.name, one.value) for one in node.matchers.matchers if str(one.op) == "MatchOp.Equal")


def _aggregated(operator: str, modifier: Any, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = defaultdict(list)
    kept = set(modifier.labels) if modifier is not None else set()
    for labels, value in vector.items():
        groups[frozenset(one for one in labels if one[0] in kept)].append(value)
    reduce: Callable[[list[float]], float] = {"sum": math.fsum, "max": max, "min": min}[operator]
    return {labels: reduce(values) for labels, values in groups.items()}


def _combined(operator: str, left: Any, right: Any) -> Vector:
    if operator in {"and", "or"}:
        theirs = {_unnamed(labels) for labels in right}
        if operator == "and":
            return {labels: value for labels, value in left.items() if _unnamed(labels) in theirs}
        ours = {_unnamed(labels) for labels in left}
        return left | {labels: value for labels, value in right.items() if _unnamed(labels) not in ours}
    others = {_unnamed(labels): value for labels, value in right.items()} if isinstance(right, dict) else right
    found: Vector = {}
    for labels, value in left.items():
        other = others.get(_unnamed(labels)) if isinstance(others, dict) else others
        if other is None:
            continue
        if operator in _COMPARISONS:
            if _COMPARISONS[operator](value, other):
                found[labels] = value
        else:
            found[_unnamed(labels)] = value - other if operator == "-" else _divided(value, other)
    return found


_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
}


def _divided(value: float, other: float) -> float:
    return value / other if other else math.nan


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    """By interpolation within the bucket that holds it; above the last bound, that bound."""
    groups: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"].replace("+Inf", "inf"))
        groups[frozenset(one for one in _unnamed(labels) if one[0] != "le")].append((bound, count))
    return {labels: _quantile(quantile, sorted(group)) for labels, group in groups.items()}


def _quantile(quantile: float, group: Sequence[tuple[float, float]]) -> float:
    rank = quantile * group[-1][1]
    if not group[-1][1]:
        return math.nan
    index = next(number for number, (_, count) in enumerate(group) if count >= rank)
    if index == len(group) - 1:
        return group[-2][0]
    lower, before = group[index - 1] if index else (0.0, 0.0)
    bound, count = group[index]
    return lower + (bound - lower) * (rank - before) / (count - before)


def _increase(samples: Samples, now_s: float, span_s: float) -> float:
    """promql/functions.go, extrapolatedRate."""
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    grown = last - first + sum(a for (_, a), (_, b) in pairwise(samples) if b < a)
    sampled_s = last_s - first_s
    average_s = sampled_s / (len(samples) - 1)
    start_s, end_s = first_s - (now_s - span_s), now_s - last_s
    start_s = average_s / 2 if start_s >= average_s * 1.1 else start_s
    end_s = average_s / 2 if end_s >= average_s * 1.1 else end_s
    if grown > 0 and first >= 0:
        start_s = min(start_s, sampled_s * first / grown)  # a counter was never below zero
    return grown * (sampled_s + start_s + end_s) / sampled_s


def _regression(samples: Samples, origin_s: float) -> tuple[float, float]:
    """Slope a second, and the value at `origin_s`, by least squares."""
    mean_s = sum(at_s - origin_s for at_s, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    spread = sum((at_s - origin_s - mean_s) ** 2 for at_s, _ in samples)
    slope = sum((at_s - origin_s - mean_s) * (value - mean) for at_s, value in samples) / spread
    return slope, mean - slope * mean_s


def _predicted(samples: Samples, now_s: float, _span_s: float, ahead_s: float) -> float:
    slope, value = _regression(samples, now_s)
    return value + slope * ahead_s


_OVER_TIME: Final[Mapping[str, Callable[..., float]]] = {
    "increase": _increase,
    "rate": lambda samples, now_s, span_s: _increase(samples, now_s, span_s) / span_s,
    "deriv": lambda samples, _now_s, _span_s: _regression(samples, samples[0][0])[0],
    "predict_linear": _predicted,
}
