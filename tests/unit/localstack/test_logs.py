"""Logs that are kept to a size, and their ends."""

from pathlib import Path

import pytest

from localstack.logs import last_lines, previous, rotate


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "kafka.log"


def test_the_last_lines_are_given_in_order(log: Path) -> None:
    """As many as asked for, or as there are."""
    log.write_text("one\ntwo\nthree\n")
    assert last_lines(log, 2) == ["two", "three"]
    assert last_lines(log, 9) == ["one", "two", "three"]
    assert last_lines(log, 0) == []


def test_a_log_that_is_not_there_has_no_lines(log: Path) -> None:
    """A process may die before it has one."""
    assert last_lines(log, 5) == []


def test_lines_before_a_position_can_be_left_out(log: Path) -> None:
    """They belong to an earlier run; a log that was emptied since begins anew."""
    log.write_text("before\nafter\n")
    assert last_lines(log, 5, since=len("before\n")) == ["after"]
    assert last_lines(log, 5, since=1000) == ["before", "after"]


def test_only_whole_lines_of_a_long_log_are_given(log: Path) -> None:
    """It is read from near its end, which may be in the middle of a line."""
    lines = [f"{number:06} {'x' * 100}" for number in range(2_000)]
    log.write_text("\n".join(lines) + "\n")
    found = last_lines(log, 2_000)
    assert 100 < len(found) < 2_000
    assert found == lines[-len(found) :]


def test_bytes_that_are_no_text_are_shown_all_the_same(log: Path) -> None:
    """A server may write what it likes."""
    log.write_bytes(b"caf\xe9\n")
    assert last_lines(log, 1) == ["caf\ufffd"]


def test_a_log_that_has_grown_too_long_is_moved_aside(log: Path) -> None:
    """What is written from then on, by a process that has it open all the while, begins at its start."""
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        assert rotate(log, max_bytes=99)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert previous(log).read_bytes() == b"x" * 100


def test_a_short_log_stays(log: Path) -> None:
    """And one that is not there is no trouble."""
    assert not rotate(log)
    log.write_text("short\n")
    assert not rotate(log)
    assert not previous(log).exists()
