"""`twinstream logs`: lines made readable, and followed."""

import json
import threading
from pathlib import Path

import pytest

from twinstream.logs import _following, readable


def ours(**fields: object) -> str:
    return json.dumps(
        {"timestamp": "2026-11-23T12:00:01.234567Z", "level": "info", "service": "ingest", "event": "request"} | fields
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (ours(), "12:00:01.234 info    request"),
        (ours(status=202, ms=1.5), "12:00:01.234 info    request status=202 ms=1.5"),
        (ours(ids=["a", "b"]), '12:00:01.234 info    request ids=["a","b"]'),
        (ours(level="warning", event="é \x1b[31m"), "12:00:01.234 warning é \\x1b[31m"),
        (ours(exception="Traceback:\n  boom"), "12:00:01.234 info    request\nTraceback:\n  boom"),
        ("[2026-11-23] INFO Kafka Server started", "[2026-11-23] INFO Kafka Server started"),
        ('{"no": "log line"}', '{"no": "log line"}'),
        ("{broken", "{broken"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
    ],
)
def test_lines_are_made_readable(line: str, shown: str) -> None:
    """Ours by their fields, others as they are; none of them steers the terminal."""
    assert readable(line).plain == shown


def test_following_goes_on_through_a_rotation(tmp_path: Path) -> None:
    """Whole lines only, each once; a log that was emptied is read from its start."""
    log = tmp_path / "kafka.log"
    log.write_text("before\n")
    lines: list[str] = []
    following = _following(log)
    write = threading.Timer(0.05, lambda: _append(log, "one\ntw"))
    write.start()
    lines.append(next(following))
    write.join()
    write = threading.Timer(0.05, lambda: _append(log, "o\n"))
    write.start()
    lines.append(next(following))
    write.join()
    log.write_text("new\n")
    lines.append(next(following))
    following.close()
    assert lines == ["one", "two", "new"]


def _append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
