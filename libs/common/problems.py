"""Every error code of the product: its HTTP status, its title and what to do about it. docs/errors.md is made of it.

A code, once published, keeps its meaning. Codes under `RECORD` name what is wrong with one record within a request;
they also stand in the headers of what is put aside in records.rejected.
"""

from typing import Final, NamedTuple


class Problem(NamedTuple):
    """What a code stands for."""

    status: int
    title: str
    remedy: str


PROBLEMS: Final[dict[str, Problem]] = {
    # The request as a whole
    "invalid_json": Problem(400, "The body is not JSON", "Mend the syntax at the place that the detail names."),
    "invalid_encoding": Problem(400, "The body cannot be decompressed", "Compress it whole, as Content-Encoding says."),
    "empty_body": Problem(400, "There is nothing in the body", "Send at least one record."),
    "invalid_cursor": Problem(
        400, "The cursor is not one of ours", "Pass next_cursor on as it came, with the same id, order and since."
    ),
    "invalid_parameter": Problem(
        422, "A parameter does not fit", "See `errors` for each parameter and what would fit."
    ),
    "invalid_body": Problem(422, "The body does not fit", "See `errors` for each field and what would fit."),
    "records_refused": Problem(
        422, "No record was accepted", "See `errors` for each record and what is wrong with it."
    ),
    "unauthenticated": Problem(401, "No valid API key", "Send `Authorization: Bearer <key>` with a key in force."),
    "forbidden": Problem(403, "The key lacks a scope", "Use a key with the scope that the detail names."),
    "not_found": Problem(404, "There is no such thing", "Check the id; one with a slash is sent with %2F in the path."),
    "method_not_allowed": Problem(405, "Not with this method", "Use a method that the Allow header lists."),
    "idempotency_key_invalid": Problem(
        400, "The Idempotency-Key does not fit", "Send one of 1 to 255 characters, or none."
    ),
    "idempotency_key_reused": Problem(
        409, "Another request had this Idempotency-Key", "Send each different request under a key of its own."
    ),
    "idempotency_key_in_flight": Problem(
        409, "The first request is still in flight", "Wait a moment and repeat it unchanged."
    ),
    "unknown_condition": Problem(404, "There is no such condition", "Take one that GET /v1/conditions lists."),
    "condition_exists": Problem(
        409, "There is a condition of that name", "Change it with PUT, or choose another name."
    ),
    "too_many_conditions": Problem(409, "There are as many conditions as can be", "Delete one that nobody asks for."),
    "not_ready": Problem(
        409, "The condition has not seen every record yet", "Ask again in a while, or for a partial count."
    ),
    "invalid_expression": Problem(
        422, "The expression does not work", "Mend it at the line and column that `errors` names."
    ),
    "unknown_rule": Problem(404, "There is no such rule", "Take one that GET /v1/rules lists."),
    "rule_exists": Problem(409, "There is a rule of that name", "Change it with PUT, or choose another name."),
    "too_many_rules": Problem(409, "There are as many rules as can be", "Delete one that nobody needs."),
    "invalid_rule": Problem(
        422, "The rule cannot be", "See `errors`: what is wrong, by a code of its own, and what would be right."
    ),
    "stale": Problem(503, "The counts are older than you would take", "Ask again, or allow for more staleness."),
    "last_admin_key": Problem(409, "The last admin key stays", "Make another key with the scope admin first."),
    "unknown_destination": Problem(404, "There is no such destination", "Take one that GET /v1/destinations lists."),
    "destination_exists": Problem(
        409, "There is a destination of that name", "Change it with PUT, or choose another name."
    ),
    "too_many_destinations": Problem(409, "There are as many destinations as can be", "Delete one that nobody needs."),
    "invalid_destination": Problem(
        422, "The destination cannot be", "See `errors` for each field and what would be right."
    ),
    "too_many_silences": Problem(
        409, "There are as many silences as can be", "End some; those that are over make room by themselves."
    ),
    "delivery_open": Problem(409, "The delivery is not done yet", "Wait for it: it leaves by itself."),
    "sealed_otherwise": Problem(
        409, "The secret cannot be opened", "Set the destination's secret anew: TWINSTREAM_SECRET has changed."
    ),
    "query_not_done": Problem(409, "The query has not come to its end", "Watch it until its state says so."),
    "query_without_result": Problem(409, "The query has no result", "See its `error`, and ask it again."),
    "result_gone": Problem(410, "The result has been deleted", "Ask the query again."),
    "body_too_large": Problem(413, "The body is too large", "Send less at once: the detail names the limit."),
    "too_many_records": Problem(413, "Too many records at once", "Split the request: the detail names the limit."),
    "unsupported_media_type": Problem(
        415, "A type of body that is not taken", "Send what the detail names in Content-Type and Content-Encoding."
    ),
    "overloaded": Problem(429, "More than can be taken at the moment", "Send it again after Retry-After seconds."),
    "rate_limited": Problem(
        429, "This key has had its share of this minute", "Send it again after Retry-After seconds."
    ),
    "not_yet": Problem(504, "The store has not got there yet", "Repeat it, or wait longer with timeout_ms."),
    "unavailable": Problem(503, "A part that this needs is away", "Send it again after Retry-After seconds."),
    "internal": Problem(500, "A fault of ours", "Report the trace_id; sending it again may help."),
}

QUERY: Final[dict[str, str]] = {
    "query_invalid": "The SQL does not parse, names what there is not, or is to read a snapshot that has expired.",
    "query_forbidden": "It is more than one SELECT, or reaches for what is not a table of the lake.",
    "query_out_of_memory": "It took more memory than it may: aggregate earlier, or ask for less at once.",
    "query_out_of_disk": "It spilled more to disk than it may: sort or join less at once.",
    "query_timeout": "It took longer than it may: give it a longer timeout_seconds, or ask for less.",
    "query_failed": "It met an error while it ran, which the detail tells.",
    "query_crashed": "The process that ran it ended by itself; nothing else was harmed.",
}

REBUILD: Final[dict[str, str]] = {
    "too_many_missing": "More of the old documents are missing in the new ones than TWINSTREAM_REBUILD_MISSING_PERCENT "
    "allows. The old ones stay in force: see whether the log lost records before you force it.",
}

RECORD: Final[dict[str, str]] = {
    "record_not_json": "The line or element is not JSON (NaN and Infinity are not JSON either).",
    "record_not_object": "A record is a JSON object.",
    "missing_field": "A field that every record needs is absent.",
    "unknown_field": "A field that no record has: most often a typo.",
    "wrong_type": "A field has a value of another type.",
    "invalid_id": "An id has 1 to 256 characters and no control characters.",
    "invalid_number": "A number is a finite double; integers stay within ±2^53.",
    "invalid_text": "Text is valid Unicode; a lone surrogate is not.",
    "text_too_long": "Text has at most 64 KiB of UTF-8.",
    "record_too_large": "The record's JSON is longer than the limit that the detail names.",
    "invalid_event_time": "An event time is RFC 3339 with an offset, or an integer of epoch milliseconds.",
    "event_time_out_of_range": "An event time lies between the year 2000 and five minutes from now.",
    "undecodable": "A message in the log that is no record: written by something else than ingest.",
    "truncated": "The rejected record's bytes were cut when it was put aside: it can be replayed mended only.",
    "scan_failed": "The rules could not be applied to this record: a fault of ours, to be mended before a replay.",
    "refused_by_store": "The store will never take this record as it is.",
}

START: Final[dict[str, str]] = {
    "misconfigured": "A setting, or what is found around, does not fit: the message names it.",
    "not_let_in": "A server does not take our user and password, wants some where we have none, or denies us a right.",
    "tls_untrusted": "A server's certificate is of no authority that we trust, or for another name than we call it by.",
    "tls_expected": "A server speaks TLS, and our settings do not.",
    "tls_not_spoken": "Our settings ask for TLS, and a server does not speak it.",
    "tls_certificate_refused": "A server asks for a certificate of ours, and has none, or none that it trusts.",
    "cluster_mismatch": "Redis is a cluster where our settings say that it is none, or the other way round.",
    "lake_not_local": "The lake's files are in no folder of this machine, where alone DuckDB reads: Spark does.",
}
