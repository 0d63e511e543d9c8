"""Rules, their trials and their past as people see them in a terminal."""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.alerts import Span
from twinstream.console import printable

_SEVERITIES: Final = {"info": "dim", "warning": "yellow", "critical": "red"}
_SHOWN_TERMS: Final = 8


class _Terms(msgspec.Struct):
    keywords: list[str] = []
    regexes: list[str] = []


class _Rule(_Terms, kw_only=True):
    name: str
    streams: list[str]
    all: _Terms
    none: _Terms
    when: str | None
    severity: str
    destinations: list[str]
    enabled: bool


class _Step(msgspec.Struct):
    check: str
    passed: bool
    detail: str
    reason: str | None


class _Trial(msgspec.Struct):
    matched: bool
    matches: list[Span]
    explain: list[_Step]


class _Sample(msgspec.Struct):
    record: dict[str, object]
    matches: list[Span]


class _Forecast(msgspec.Struct):
    name: str
    messages: int
    busiest_hour: int


class _Backtest(msgspec.Struct):
    window_start: str
    complete: bool
    records: int
    hits: int
    alerts: int
    samples: list[_Sample]
    destinations: list[_Forecast]


def table(found: Sequence[msgspec.Raw]) -> Table:
    """One rule a line."""
    shown = Table("name", "streams", "severity", "tells", box=None, pad_edge=False, header_style="dim")
    shown.add_column("looks for", ratio=1, overflow="fold")
    for raw in found:
        rule = msgspec.json.decode(raw, type=_Rule)
        name = Text(rule.name) if rule.enabled else Text(f"{rule.name} (disabled)", style="dim")
        severity = Text(rule.severity, style=_SEVERITIES.get(rule.severity, ""))
        tells = Text(printable(", ".join(rule.destinations) or "nobody"))
        shown.add_row(name, "+".join(rule.streams), severity, tells, Text(printable(_looked_for(rule))))
    return shown


def _looked_for(rule: _Rule) -> str:
    parts = [_terms(rule), _prefixed("all of ", _terms(rule.all)), _prefixed("none of ", _terms(rule.none)), rule.when]
    return "; ".join(part for part in parts if part)


def _terms(terms: _Terms) -> str:
    every = [*(f'"{keyword}"' for keyword in terms.keywords), *(f"/{regex}/" for regex in terms.regexes)]
    more = f" and {len(every) - _SHOWN_TERMS:,} more" if len(every) > _SHOWN_TERMS else ""
    return ", ".join(every[:_SHOWN_TERMS]) + more


def _prefixed(prefix: str, text: str) -> str:
    return prefix + text if text else ""


def trial(text: str, raw: msgspec.Raw) -> RenderableType:
    """The text with what was found marked, then each check."""
    tried = msgspec.json.decode(raw, type=_Trial)
    steps = [
        Text.assemble(("✓ ", "green") if step.passed else ("✗ ", "red"), f"{step.check}: {printable(step.detail)}")
        for step in tried.explain
    ]
    return Group(_marked(text, tried.matches), *steps)


def _marked(text: str, spans: Sequence[Span]) -> Text:
    marked, at = Text(), 0
    for span in sorted(spans, key=lambda one: one.start):
        if span.start >= at:
            marked.append(printable(text[at : span.start], lines=True))
            marked.append(printable(text[span.start : span.end], lines=True), style="bold reverse")
            at = span.end
    return marked.append(printable(text[at:], lines=True))


def backtest(raw: msgspec.Raw) -> RenderableType:
    """How often it would have held, whom it would have told how often, and a few of the texts."""
    found = msgspec.json.decode(raw, type=_Backtest)
    since = f"since {found.window_start[:19]}Z" + ("" if found.complete else ", the newest of what was asked for")
    head = Text(f"{found.alerts:,} alerts out of {found.hits:,} hits in {found.records:,} records {since}")
    told = Table("destination", "messages", "busiest hour", box=None, pad_edge=False, header_style="dim")
    for one in found.destinations:
        told.add_row(Text(printable(one.name)), f"{one.messages:,}", f"{one.busiest_hour:,}")
    texts = [_sample(sample) for sample in found.samples]
    return Group(head, *([told] if found.destinations else []), *texts)


def _sample(sample: _Sample) -> Text:
    text = str(sample.record.get("text", ""))
    return Text.assemble(
        (f"{printable(str(sample.record.get('unique_identifier')))}  ", "dim"), _marked(text, sample.matches)
    )
