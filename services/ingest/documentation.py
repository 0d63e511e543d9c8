"""What the OpenAPI document says of the route: summary, bodies, answers, each with an example."""

from typing import Any, Final

import msgspec

from common.contracts import INCOMING, RECORDS, Stream
from common.http.app import schema_of
from common.http.problems import documented
from common.receipts import encode_receipt
from ingest.bodies import Form
from ingest.idempotency import MAX_KEY_CHARACTERS
from ingest.intake import Answer, RecordError

SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (*INCOMING.values(), Answer)

DESCRIPTION: Final = """\
Takes records of the two streams into the log, from where everything else reads them.

Send one record, an array, or NDJSON (one record a line), plain or compressed with gzip or zstd. Each record is checked
by itself: those that are valid are taken, the others are named in the answer and put aside. An answer means that Kafka
holds every accepted record on all its in-sync replicas; no answer, or a 503, promises nothing, and sending the same
again does no harm.
"""

_A: Final = {"unique_identifier": "a-1", "number": 12.5, "text": "Blue kettle, 1.7 litres"}
_B: Final = {
    "unique_identifier": "b-1",
    "Stream_A_unique_identifier": "a-1",
    "number": 4,
    "text": "It leaks, I want a refund.",
    "event_time": "2026-11-23T08:00:00Z",
}
_EXAMPLES: Final = {Stream.A: _A, Stream.B: _B}
_PROBLEMS: Final = (
    "empty_body",
    "invalid_json",
    "invalid_encoding",
    "unauthenticated",
    "forbidden",
    "body_too_large",
    "too_many_records",
    "unsupported_media_type",
    "invalid_parameter",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "idempotency_key_in_flight",
    "records_refused",
    "overloaded",
    "rate_limited",
    "unavailable",
    "internal",
)
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
    "description": "A name for this request, 1 to 255 characters, kept for a day: a repeat under it gets the first "
    "answer, with `Idempotency-Replayed: true`, and writes nothing again.",
    "examples": {"a_uuid": {"value": "7f9d3c1e-2b4a-4c5d-8e6f-0a1b2c3d4e5f"}},
}
_MISSING: Final = RecordError(
    index=1, line=2, field="text", code="missing_field", detail="text is missing: it must be a string."
)


def documentation_of(stream: Stream) -> dict[str, Any]:
    """The keyword arguments that document the route of `stream`."""
    return {
        "tags": ["records"],
        "operation_id": f"send_records_{stream}",
        "summary": f"Send records of stream {stream.upper()}",
        "description": _description(stream),
        "responses": _responses(stream),
        "openapi_extra": {"parameters": [_IDEMPOTENCY_KEY], "requestBody": _request_body(stream)},
        "status_code": 202,
    }


def _description(stream: Stream) -> str:
    parent = "" if stream is Stream.A else " Its A may arrive later, or never."
    return (
        f"A record with an id that is known already is a newer version of it.{parent} Records of one id stay in the "
        "order in which they are sent; across several connections, set `event_time`."
    )


def _request_body(stream: Stream) -> dict[str, Any]:
    record, example = schema_of(INCOMING[stream]), _EXAMPLES[stream]
    another = {**example, "unique_identifier": f"{stream}-2"}
    json = {
        "schema": {"oneOf": [record, {"type": "array", "minItems": 1, "items": record}]},
        "examples": {
            "one": {"summary": "One record", "value": example},
            "several": {"summary": "An array of records", "value": [example, another]},
        },
    }
    lines = "".join(msgspec.json.encode(one).decode() + "\n" for one in (example, another))
    ndjson = {
        "schema": {"type": "array", "minItems": 1, "items": record, "description": "One record on each line."},
        "examples": {"lines": {"summary": "NDJSON: one record a line", "value": lines}},
    }
    content = {Form.JSON.value[0]: json, Form.NDJSON.value[0]: ndjson}
    return {
        "required": True,
        "description": "Records, or one; may be compressed (Content-Encoding).",
        "content": content,
    }


def _responses(stream: Stream) -> dict[int | str, dict[str, Any]]:
    receipt = encode_receipt({(RECORDS[stream], 2): 4711})
    all_of_it = Answer(accepted=2, rejected=0, receipt=receipt, errors=[])
    in_part = Answer(accepted=1, rejected=1, receipt=receipt, errors=[_MISSING])
    return documented(*_PROBLEMS) | {
        202: _answer("Every record is in the log.", all_of_it),
        207: _answer("Some records are in the log, `errors` names the others.", in_part),
    }


def _answer(description: str, example: Answer) -> dict[str, Any]:
    content = {"schema": schema_of(Answer), "example": msgspec.to_builtins(example)}
    return {"description": description, "content": {"application/json": content}}
