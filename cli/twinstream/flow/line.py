"""The flow in words: one line that fits 80 columns."""

from twinstream.flow.rates import Flow


def line(flow: Flow) -> str:
    """How much comes in, is stored and is behind, and how old records are when they can be looked up."""
    age = "" if flow.p50_s is None or flow.p99_s is None else f" · age p50 {_age(flow.p50_s)} p99 {_age(flow.p99_s)}"
    return f"accepted {_rate(flow.accepted_per_s)} · stored {_rate(flow.stored_per_s)} · lag {_count(flow.lag)}{age}"


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}/s" if 0 < per_s < 100 else f"{_count(round(per_s))}/s"


def _count(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def _age(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
