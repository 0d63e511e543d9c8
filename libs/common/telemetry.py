"""Structured logs and the trace that runs from a request, through Kafka's headers, to the last log line.

A trace is a W3C `traceparent` (https://www.w3.org/TR/trace-context/): taken from the caller or begun here.
"""

import logging
import re
import secrets
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import structlog

TRACEPARENT: Final = "traceparent"

# What no log line may hold, wherever it comes from: keys, tokens, webhooks' secrets, passwords in addresses.
_SECRET = re.compile(
    r"(?<=tsk_)[0-9A-Za-z]+_[0-9A-Za-z]+|eyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=whsec_)[\w+/=-]+|(?<=xox[abeprs]-)[\w-]+"
    r"|(?<=://)[^\s/:@\"]*:[^\s/@\"]+(?=@)"
)
_MARKS = ("tsk_", "eyJ", "whsec_", "xox", "://")  # a line without any of these needs no search, which takes 13 µs
TRACEPARENT_FORM: Final = r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"
"""What a `traceparent` looks like, with the ids of its trace and its span."""

_VALID: Final = re.compile(TRACEPARENT_FORM)

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def configure_logging(service: str, level: str) -> None:
    """One JSON object per line on standard error, the standard library's loggers included."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        _add_service(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), _redact],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
                _redact,
            ],
        )
    )
    # Libraries speak from WARNING on: at INFO some of them log what records hold.
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level)), force=True)


def begin_trace(caller: str | None) -> str:
    """Continue the caller's trace, or begin one when there is none or it is malformed; returns the traceparent."""
    match = _VALID.fullmatch(caller) if caller else None
    trace_id = match.group(1) if match else secrets.token_hex(16)
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    _traceparent.set(traceparent)
    return traceparent


def current_traceparent() -> str | None:
    """The traceparent of the request or batch in hand."""
    return _traceparent.get()


def trace_id(traceparent: str) -> str:
    """The 32 hex digits that all parts of one trace share."""
    return traceparent[3:35]


def _add_trace(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = _traceparent.get()
    if current is not None:
        event.setdefault("trace_id", trace_id(current))
    return event


def _redact(_logger: object, _name: str, line: Any) -> str:
    """Take secrets out of a finished line: whatever a library or an exception put into it."""
    return redacted(line)


def redacted(line: str) -> str:
    """The same without secrets."""
    return _SECRET.sub("[redacted]", line) if any(mark in line for mark in _MARKS) else line


def _add_service(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add
