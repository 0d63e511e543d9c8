"""One query in DuckDB, over the pinned files alone: its configuration is locked before the SQL is looked at."""

import threading
from collections.abc import Callable
from typing import BinaryIO, Final

import duckdb
import msgspec
import pyarrow as pa

from lake.jobs import pages
from lake.jobs.frames import Ended, Kind, Task, send

_BATCH_ROWS: Final = 2_048
_PROGRESS_EVERY_S: Final = 0.5
_MAX_DETAIL: Final = 2_000

# From the most particular to the most general: the first that fits.
_CODES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (duckdb.PermissionException, "query_forbidden"),
    (duckdb.OutOfMemoryException, "query_out_of_memory"),
    (MemoryError, "query_out_of_memory"),
    (pa.ArrowMemoryError, "query_out_of_memory"),
    (duckdb.ParserException, "query_invalid"),
    (duckdb.BinderException, "query_invalid"),
    (duckdb.CatalogException, "query_invalid"),
    (duckdb.InvalidInputException, "query_invalid"),
    (duckdb.NotImplementedException, "query_invalid"),
    (duckdb.Error, "query_failed"),
    (pa.ArrowException, "query_failed"),
)


class Forbidden(Exception):  # noqa: N818  # named for what the query is
    """More than one statement, or one that does more than read."""


def answer(task: Task, sink: BinaryIO) -> Ended:
    """Answer the query, or say why it cannot be answered."""
    pa.set_cpu_count(1)
    try:
        return _run(task, sink)
    except Forbidden as error:
        return Ended(code="query_forbidden", detail=str(error))
    except (duckdb.Error, pa.ArrowException, MemoryError) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        return Ended(code=_told(code, error), detail=str(error)[:_MAX_DETAIL])


def _run(task: Task, sink: BinaryIO) -> Ended:
    """Answer the query page by page, as far as rows and bytes allow."""
    connection = _opened(task)
    statements = connection.extract_statements(task.sql)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise Forbidden("A query is exactly one SELECT; DESCRIBE, SUMMARIZE and SHOW TABLES are as good as one.")
    over = threading.Event()
    lock = threading.Lock()
    threading.Thread(target=_tell_progress, args=(connection, sink, over, lock), daemon=True).start()
    try:
        relation = connection.sql(task.sql, params=task.parameters or None)
        if relation is None:
            raise Forbidden("This statement has no result.")
        reader = relation.to_arrow_reader(_BATCH_ROWS)
        rows, truncated = _answer(task, reader, lambda body: _send(sink, lock, Kind.PAGE, body))
        return Ended(columns=pages.columns(reader.schema), rows=rows, truncated=truncated)
    finally:
        over.set()


def _opened(task: Task) -> duckdb.DuckDBPyConnection:
    """DuckDB with the views over the pinned files, and no way to anything else."""
    connection = duckdb.connect(
        config={
            "threads": "1",
            "memory_limit": f"{task.memory_mb}MB",
            "temp_directory": task.spill,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "preserve_insertion_order": "false",
        }
    )
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET max_temp_directory_size = '{task.spill_mb}MB'")  # in the config it would be ignored
    connection.execute("SET allowed_paths = ?", [task.files])
    connection.execute("SET enable_external_access = false")
    for name, query in task.views.items():
        connection.execute(f'CREATE VIEW "{name}" AS {query}')
    connection.execute("SET lock_configuration = true")
    return connection


def _answer(task: Task, reader: pa.RecordBatchReader, page: Callable[[bytes], None]) -> tuple[int, bool]:
    """Send what there is; returns the rows that were sent, and whether there were more."""
    rows = size = 0
    first, truncated = True, False
    for table in pages.cut(iter(reader), task.page_rows):
        fitting, body = table.slice(0, task.max_rows - rows), b""
        while fitting.num_rows and size + len(body := pages.encode(fitting, task.format, first=first)) > task.max_bytes:
            fitting = fitting.slice(0, fitting.num_rows // 2)
        if fitting.num_rows:
            page(body)
            rows, size, first = rows + fitting.num_rows, size + len(body), False
        truncated = fitting.num_rows < table.num_rows
        if truncated:
            break
    if first:  # a result without rows has a page, too: it tells the columns
        page(pages.encode(reader.schema.empty_table(), task.format, first=True))
    return rows, truncated


def _tell_progress(
    connection: duckdb.DuckDBPyConnection, sink: BinaryIO, over: threading.Event, lock: threading.Lock
) -> None:
    while not over.wait(_PROGRESS_EVERY_S):
        share = connection.query_progress() / 100
        if 0 <= share <= 1:
            _send(sink, lock, Kind.PROGRESS, msgspec.json.encode(share))


def _send(sink: BinaryIO, lock: threading.Lock, kind: Kind, body: bytes) -> None:
    with lock:
        send(sink, kind, body)


def _told(code: str, error: BaseException) -> str:
    """A full disk comes as one of several errors; its words tell."""
    said = str(error).lower()
    full = "max_temp_directory_size" in said or "no space" in said or "file too large" in said
    return "query_out_of_disk" if full else code
