"""What `up` tells while it runs."""

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from localstack.claims import State
from localstack.profile import Profile
from twinstream.running.changes import Changes
from twinstream.running.screen import PlainScreen, screen_on
from twinstream.running.welcome import welcome


class Time:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Broken(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(output: io.StringIO, time: Time) -> PlainScreen:
    return PlainScreen(Console(file=output, width=80, highlight=False), time)


@pytest.fixture
def told(screen: PlainScreen, output: io.StringIO, time: Time):
    """Tells of a change; answers the words that were printed, without the time of day."""
    changes = Changes(screen, time)

    def tell(name: str, state: State, detail: str = "", at_s: float = 0) -> str:
        time.now = at_s
        output.seek(0)
        output.truncate()
        changes(name, state, detail)
        return output.getvalue()[9:].strip()

    return tell


def test_a_start_tells_how_long_it_took(told) -> None:
    """Once it is ready; that it began is not worth a line."""
    assert told("kafka", State.STARTING) == ""
    assert told("kafka", State.READY, at_s=2.34) == "✓ kafka            ready after 2.3 s"


def test_a_death_and_a_return_are_told(told) -> None:
    """With the reason, and how long it was away from its restart."""
    told("kafka", State.STARTING)
    told("kafka", State.READY, at_s=1)
    died = told("kafka", State.DIED, "killed by SIGKILL; restarting in 0.5 s", at_s=60)
    assert died == "✗ kafka            killed by SIGKILL; restarting in 0.5 s"
    told("kafka", State.STARTING, at_s=61)
    assert told("kafka", State.READY, at_s=63) == "✓ kafka            back after 2.0 s"


def test_a_stop_is_told(told) -> None:
    """And when it had to be forced."""
    assert told("kafka", State.STOPPED) == "■ kafka            stopped"
    assert told("kafka", State.STOPPED, "killed, for it hung") == "■ kafka            stopped killed, for it hung"


def test_what_is_awaited_is_named(screen: PlainScreen) -> None:
    """In the line at the bottom, until it is ready."""
    changes = Changes(screen)
    changes("kafka", State.STARTING, "")
    changes("mongo", State.STARTING, "")
    changes("kafka", State.READY, "")
    assert changes.starting() == "mongo"


def test_without_a_terminal_the_line_comes_every_ten_seconds(screen: PlainScreen, output, time: Time) -> None:
    """A log is no place for a line per second."""
    for second in range(31):
        time.now = second
        screen.show(f"at {second}")
    assert output.getvalue().splitlines() == ["at 10", "at 20", "at 30"]


@pytest.mark.parametrize("kind", ["terminal", "file"])
def test_a_closed_terminal_ends_nothing(kind: str) -> None:
    """The processes are worth more than the words about them."""
    with screen_on(Console(file=Broken(), force_terminal=kind == "terminal")) as screen:
        screen.say("Hello")
        screen.show("0/s")


def test_a_pipe_that_nobody_reads_ends_nothing() -> None:
    """As in `twinstream up | head -1`."""
    code = """
import sys
from rich.console import Console
from twinstream.running.screen import screen_on
with screen_on(Console()) as screen:
    sys.stdin.readline()
    screen.say("one")
    screen.say("two")
print("alive", file=sys.stderr)
"""
    with subprocess.Popen(  # noqa: S603  # code of this file
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, said = process.communicate("\n")
    assert (process.returncode, said) == (0, "alive\n")


def test_the_welcome_fits_eighty_columns_and_can_be_pasted() -> None:
    """Each command is whole: a line that goes on ends in a backslash or within quotes."""
    output = io.StringIO()
    Console(file=output, width=80).print(welcome(Profile(Path.cwd() / ".twinstream")))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("curl")] == ["curl"] * 3
    assert output.getvalue().count("$(cat .twinstream/key)") == 3
    for number, line in enumerate(lines):
        if line.startswith("curl"):
            assert line.endswith("\\")
            assert lines[number + 1].startswith("  -H")
