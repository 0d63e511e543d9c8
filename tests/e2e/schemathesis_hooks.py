"""What schemathesis cannot know of our documents; it loads this file by itself, in a process of its own."""

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st

RECEIPT = os.environ["RECEIPT"]  # of a record that every store has taken in
NOW_MS = 1_795_420_800_000

# Formats of ours: no random string is one.
schemathesis.openapi.format("receipt", st.just(RECEIPT))
schemathesis.openapi.format("cel", st.sampled_from(["number > 100.0", 'text.contains("refund")', "true"]))

schemathesis.openapi.format("date-time", st.just("2026-11-23T08:00:00Z"))
schemathesis.openapi.format("instant", st.sampled_from(["2026-11-23T08:00:00Z", "1795420800000"]))


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> bytes:
    """Records line by line; an example is what it is."""
    if isinstance(value, str):
        return value.encode(errors="replace")
    return b"\n".join(json.dumps(one).encode() for one in (value if isinstance(value, list) else [value]))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Make true what no schema can demand: a receipt of this log, an instant that has come, a true double."""
    if case.query and str(case.query.get("wait_for", "")).startswith("eyJ2"):  # the document's example
        case.query["wait_for"] = RECEIPT
    for record in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(record, dict):
            _mend(record)


def _mend(record: dict[str, Any]) -> None:
    for name in ("unique_identifier", "Stream_A_unique_identifier", "event_time"):
        if isinstance(record.get(name), float) and record[name].is_integer():  # which JSON Schema calls an integer
            record[name] = int(record[name])
    number, event_time = record.get("number"), record.get("event_time")
    if isinstance(number, int) and abs(number) > 2**53:
        record["number"] = float(number % 2**53)
    if isinstance(event_time, int) and event_time > NOW_MS:
        record["event_time"] = NOW_MS
