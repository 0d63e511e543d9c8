"""Writes docs/errors.md out of the tables: `python -m common.problems_page > docs/errors.md`."""

from common.problems import PROBLEMS, QUERY, REBUILD, RECORD, START

_HEAD = """\
# Errors

Every error is a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), `application/problem+json`):

```json
{"type": "urn:twinstream:problem:not_found", "title": "There is no such thing", "status": 404,
 "detail": "There is no record of stream A with the id 'a-2'.", "code": "not_found",
 "trace_id": "0af7651916cd43dd8448eb211c80319c"}
```

`code` is stable: programs go by it. `detail` is for people, and may change. `errors`, where there are several, lists
what does not fit, each with its place. `trace_id` also stands in the answer's `X-Trace-Id` and in every log line of the
request. With 429 and 503, `Retry-After` says how many seconds to wait.

This page is written by `python -m common.problems_page > docs/errors.md`.
"""

_STARTS = """\
A process that must not start says so in a line `cannot_start` of its log, with a `code` of these, tells people what to
change, and ends with 78: to start it again would change nothing. A server that is away is waited for instead."""


def page() -> str:
    """The page, in Markdown."""
    problems = _table(
        ("code", "status", "what it says", "what to do"),
        [(f"`{code}`", str(one.status), one.title, one.remedy) for code, one in PROBLEMS.items()],
    )
    records = _table(("code", "what is wrong"), [(f"`{code}`", meaning) for code, meaning in RECORD.items()])
    queries = _table(("code", "what is wrong"), [(f"`{code}`", meaning) for code, meaning in QUERY.items()])
    about = (
        "These name what is wrong with one record: in `errors` of ingest's answer, and in what is put aside in\n"
        "`records.rejected`."
    )
    of_queries = f"\n## Of a query\n\nThese stand in `error` of a query in SQL that failed.\n\n{queries}\n"
    rebuilds = _table(("code", "what is wrong"), [(f"`{code}`", meaning) for code, meaning in REBUILD.items()])
    of_rebuilds = f"\n## Of a rebuild\n\n`twinstream rebuild` names them, and ends with status 65.\n\n{rebuilds}\n"
    starts = _table(("code", "what is wrong"), [(f"`{code}`", meaning) for code, meaning in START.items()])
    of_starts = f"\n## Of a start\n\n{_STARTS}\n\n{starts}\n"
    of_records = f"## Of a record\n\n{about}\n\n{records}\n"
    return f"{_HEAD}\n## Of a request\n\n{problems}\n\n{of_records}{of_queries}{of_rebuilds}{of_starts}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  # its purpose
