"""Spans: what an exporter of traces is told, in the words of OpenTelemetry's conventions.

One for each request, one for each trace that a worker's batch carries, and one for each call to a server that is made
for them. Nobody listens unless an exporter is configured; then all that remains is a look at a variable for each
request, batch or call, and nothing for each record.
"""

import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from common.telemetry import TRACEPARENT_FORM

MOST_OF_A_BATCH: Final = 100

_TRACEPARENT: Final = re.compile(TRACEPARENT_FORM.encode())
_ALL: Final = 2**64
NOTHING: Final[AbstractContextManager[None]] = nullcontext()
"""A call that nobody is told of."""


Attributes = Mapping[str, str | int]


class Kind(Enum):
    SERVER = "server"
    CONSUMER = "consumer"
    CLIENT = "client"


class Span(NamedTuple):
    """Something that was done, and within which trace."""

    name: str
    kind: Kind
    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent_id: str | None  # the span that called for it
    start_ns: int  # since the epoch
    end_ns: int
    attributes: Attributes
    failed: bool = False


@dataclass(slots=True)
class Begun:
    """A span that is under way; what is called meanwhile lies below it."""

    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    over: bool = False
    """What began meanwhile and goes on for itself has it in hand no more."""


Listener = Callable[[Span], None]


class _Listening(NamedTuple):
    listener: Listener
    below: int


_listening: _Listening | None = None
_in_hand: ContextVar[Begun | None] = ContextVar("span in hand", default=None)


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


def begin_request(traceparent: str, caller: str) -> Begun | None:
    """Take a request in hand, if its trace is wanted; `caller` is the traceparent that it brought."""
    trace_id = traceparent[3:35]
    begun = None
    if is_wanted(trace_id):
        parent_id = caller[36:52] if caller[3:35] == trace_id else None
        begun = Begun(Kind.SERVER, trace_id, traceparent[36:52], parent_id)
        _in_hand.set(begun)
    return begun


def tell_request(begun: Begun, name: str, took_s: float, attributes: Attributes) -> None:
    """Tell of a request that was just answered."""
    failed = int(attributes["http.response.status_code"]) >= 500  # a fault of the server's
    _tell(begun, name, took_s, attributes, failed=failed)


def begin_batch(traceparents: Collection[bytes]) -> Sequence[Begun]:
    """Take a batch in hand, in each of the traces that its messages came with and that are wanted.

    What is called for it is told once, in the first of them.
    """
    begun: list[Begun] = []
    for one in traceparents:
        trace_id, parent_id = _parts(one)
        if trace_id and is_wanted(trace_id) and len(begun) < MOST_OF_A_BATCH:
            begun.append(Begun(Kind.CONSUMER, trace_id, secrets.token_hex(8), parent_id))
    _in_hand.set(begun[0] if begun else None)
    return begun


def tell_batch(
    begun: Collection[Begun], name: str, took_s: float, attributes: Attributes, *, failed: bool = False
) -> None:
    """Tell of a batch that was just applied, or not."""
    for one in begun:
        _tell(one, name, took_s, attributes, failed=failed)


def is_in_hand() -> bool:
    """Whether what is called now is called for work that someone is told of."""
    above = _in_hand.get()
    return above is not None and not above.over


def tell_call(name: str, took_s: float, attributes: Attributes, error: str | None = None) -> None:
    """Tell of a call to a server that just ended, with an error of that type, if it was for work that is told of."""
    above = _in_hand.get()
    if above is not None and not above.over:
        _tell_client(
            Begun(Kind.CLIENT, above.trace_id, secrets.token_hex(8), above.span_id), name, took_s, attributes, error
        )


def tell_errand(name: str, took_s: float, attributes: Attributes, error: str | None = None) -> None:
    """Tell of a call that was for no request or batch any more: in a trace of its own, if that is wanted."""
    trace_id = secrets.token_hex(16)
    if is_wanted(trace_id):
        _tell_client(Begun(Kind.CLIENT, trace_id, secrets.token_hex(8), None), name, took_s, attributes, error)


def calling(name: str, attributes: Attributes) -> AbstractContextManager[None]:
    """Tell of the call that is made within, if it is for work that is told of."""
    return _calling(name, attributes) if is_in_hand() else NOTHING


@contextmanager
def _calling(name: str, attributes: Attributes) -> Iterator[None]:
    started, error = time.perf_counter(), None
    try:
        yield
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        tell_call(name, time.perf_counter() - started, attributes, error)


def _tell_client(begun: Begun, name: str, took_s: float, attributes: Attributes, error: str | None) -> None:
    told = attributes if error is None else {**attributes, "error.type": error}
    _tell(begun, name, took_s, told, failed=error is not None)


def _tell(begun: Begun, name: str, took_s: float, attributes: Attributes, *, failed: bool) -> None:
    begun.over = True
    end_ns = time.time_ns()
    start_ns = end_ns - int(took_s * 1e9)
    tell(Span(name, begun.kind, begun.trace_id, begun.span_id, begun.parent_id, start_ns, end_ns, attributes, failed))


def _parts(traceparent: bytes) -> tuple[str, str]:
    """Trace and span; nothing for what is no traceparent."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return (match[1].decode(), match[2].decode()) if match else ("", "")
