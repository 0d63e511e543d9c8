"""A run for people: a table in the terminal and a plot of its growth."""

from html import escape
from itertools import groupby
from math import log10
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.figures import Figure
from harness.results import Run

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 720, 320, 70, 30, 200, 40
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")


def table(name: str, run: Run, former: Run | None) -> Table:
    """Figures with their spread, their aim and the last kept ones; what is worse or misses its aim is red."""
    before = {f.name: f for f in former.figures} if former else {}
    result = Table(title=name, title_justify="left")
    for title in ("figure", "median", "least to greatest", "aim", "last kept"):
        result.add_column(title, justify="left" if title == "figure" else "right")
    for f in run.figures:
        last = before.get(f.name)
        bad = f.missed or (last is not None and f.worse_than(last))
        aim = "" if f.aim is None else f"{'≥' if f.better == 'higher' else '≤'} {_short(f.aim)}"
        result.add_row(
            f.name,
            f"{_short(f.median)} {f.unit}",
            f"{_short(f.low)} to {_short(f.high)}",
            aim,
            _short(last.median) if last else "",
            style="red" if bad else "",
        )
    return result


def show(name: str, run: Run, former: Run | None) -> None:
    """Print the table."""
    Console().print(table(name, run, former))


def plot(path: Path, title: str, figures: list[Figure]) -> None:
    """Draw the figures that have an `x`, a line per series, on a logarithmic x axis, as SVG."""
    points = sorted((f for f in figures if f.x is not None and f.series), key=lambda f: (f.series or "", f.x or 0))
    if points:
        path.write_text(_svg(title, points), encoding="utf-8")


def _svg(title: str, points: list[Figure]) -> str:
    xs = [log10(f.x or 1) for f in points]
    left, right, top = min(xs), max(xs) or 1, max(f.high for f in points) * 1.1

    def place(f: Figure, y: float) -> tuple[float, float]:
        across = (log10(f.x or 1) - left) / ((right - left) or 1)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(_LEFT, 18, title, size=14)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, _short(top * share), anchor="end"))
    for x in sorted({f.x for f in points if f.x is not None}):
        across, _ = place(next(f for f in points if f.x == x), 0)
        parts.append(_text(across, _HEIGHT - _BOTTOM + 16, _short(x), anchor="middle"))
    for number, (series, line) in enumerate(groupby(points, key=lambda f: f.series or "")):
        colour, members = _COLOURS[number % len(_COLOURS)], list(line)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(f, f.median) for f in members))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for f in members:
            (x, low), (_, high) = place(f, f.low), place(f, f.high)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        parts.append(_text(_WIDTH - _RIGHT + 10, _TOP + 16 * number + 10, f"{series} ({members[0].unit})", fill=colour))
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">{"".join(parts)}</svg>\n'


def _text(  # noqa: PLR0913  # SVG has that many attributes
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", fill: str = "#333"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )


def _short(value: float) -> str:
    """Three significant digits, thousands with a k."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{value:.3g}"
