"""Spans: what an exporter of traces is told. One for each request, one for each trace that a worker's batch carries.

Nobody listens unless an exporter is configured; then all that remains is a look at a variable for each request or
batch, and nothing for each record.
"""

import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Final, NamedTuple

from common.telemetry import TRACEPARENT_FORM

MOST_OF_A_BATCH: Final = 100

_TRACEPARENT: Final = re.compile(TRACEPARENT_FORM.encode())
_ALL: Final = 2**64


class Kind(Enum):
    SERVER = "server"
    CONSUMER = "consumer"


class Span(NamedTuple):
    """Something that was done, and within which trace."""

    name: str
    kind: Kind
    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent_id: str | None  # the span that called for it
    start_ns: int  # since the epoch
    end_ns: int
    attributes: Mapping[str, str | int]
    failed: bool = False


Listener = Callable[[Span], None]


class _Listening(NamedTuple):
    listener: Listener
    below: int


_listening: _Listening | None = None


def listen(listener: Listener | None, ratio: float = 1.0) -> None:
    """Tell `listener` of this share of all traces, the same ones in every process; None of nobody any more."""
    global _listening  # noqa: PLW0603  # one exporter in a process, known before its loop runs
    _listening = None if listener is None else _Listening(listener, int(ratio * _ALL))


def is_listened_to() -> bool:
    """Whether someone listens to any trace."""
    return _listening is not None


def is_wanted(trace_id: str) -> bool:
    """Whether someone listens to this trace."""
    return _listening is not None and int(trace_id[16:], 16) < _listening.below


def tell(span: Span) -> None:
    """Hand `span` to whoever listens."""
    if _listening is not None:
        _listening.listener(span)


def tell_request(traceparent: str, caller: str, name: str, took_s: float, attributes: Mapping[str, str | int]) -> None:
    """Tell of a request that was just answered, if its trace is wanted; `caller` is the traceparent that it brought."""
    trace_id, span_id = traceparent[3:35], traceparent[36:52]
    if not is_wanted(trace_id):
        return
    parent_id = caller[36:52] if caller[3:35] == trace_id else None
    end_ns = time.time_ns()
    failed = int(attributes["http.response.status_code"]) >= 500  # a fault of the server's
    start_ns = end_ns - int(took_s * 1e9)
    tell(Span(name, Kind.SERVER, trace_id, span_id, parent_id, start_ns, end_ns, attributes, failed))


def tell_batch(traceparents: Collection[bytes], name: str, took_s: float, attributes: Mapping[str, str | int]) -> None:
    """Tell of a batch that was just applied, within each of the traces that its messages came with."""
    end_ns = time.time_ns()
    start_ns = end_ns - int(took_s * 1e9)
    told = 0
    for one in traceparents:
        trace_id, parent_id = _parts(one)
        if trace_id and is_wanted(trace_id):
            span_id = secrets.token_hex(8)
            tell(Span(name, Kind.CONSUMER, trace_id, span_id, parent_id, start_ns, end_ns, attributes))
            told += 1
            if told == MOST_OF_A_BATCH:
                return


def _parts(traceparent: bytes) -> tuple[str, str]:
    """Trace and span; nothing for what is no traceparent."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return (match[1].decode(), match[2].decode()) if match else ("", "")
