"""`twinstream send`: files, interruptions, refusals."""

import gzip
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twinstream.sending.waves import WaveSize

PER_WAVE = WaveSize.lanes * WaveSize.records


def ndjson(path: Path, count: int, bad: tuple[int, ...] = ()) -> Path:
    lines = (f'{{"unique_identifier":{n}{",bad" if n in bad else ""}}}\n' for n in range(1, count + 1))
    path.write_text("".join(lines))
    return path


def ids(lines: list[bytes]) -> list[int]:
    return [json.loads(line)["unique_identifier"] for line in lines]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.ndjson"


def test_a_file_is_sent_and_summed_up(service, command, file: Path) -> None:
    """All of it, with exit status 0."""
    result = command("send", str(ndjson(file, 10_000)))
    assert result.status == 0
    assert sorted(ids(service.accepted)) == list(range(1, 10_001))
    (summary,) = result.json
    assert (summary["sent"], summary["accepted"], summary["refused"]) == (10_000, 10_000, 0)


def test_records_find_their_streams(service, command, file: Path) -> None:
    """By whether they name a parent, unless all are said to belong to one."""
    file.write_text('{"unique_identifier":1}\n{"unique_identifier":2,"Stream_A_unique_identifier":1}\n')
    command("send", str(file))
    assert {request.path: ids(request.lines) for request in service.requests} == {
        "/v1/streams/a/records": [1],
        "/v1/streams/b/records": [2],
    }
    service.requests.clear()
    command("send", str(file), "--stream", "b")
    assert {request.path for request in service.requests} == {"/v1/streams/b/records"}
    assert sorted(ids(service.accepted)) == [1, 2]


def test_refusals_are_summed_up_and_written_down(command, file: Path, tmp_path: Path) -> None:
    """Counts and examples with line numbers on the screen, every one in the file; exit status 1."""
    refusals = tmp_path / "refusals.ndjson"
    result = command("send", str(ndjson(file, 100, (7, 8, 9, 10))), "--refusals", str(refusals), "--no-json")
    assert result.status == 1
    assert "100 records sent" in result.out
    assert "96 accepted, 4 refused" in result.out
    assert "missing_field" in result.out
    assert "line 7:" in result.out
    assert "line 10:" not in result.out
    written = [json.loads(line) for line in refusals.read_text().splitlines()]
    assert [row["line"] for row in written] == [7, 8, 9, 10]
    assert written[0] | {"detail": ""} == {
        "line": 7,
        "stream": "a",
        "code": "missing_field",
        "detail": "",
        "field": "text",
        "raw": '{"unique_identifier":7,bad}',
    }


def test_an_empty_file_is_sent_in_no_time(service, command, file: Path) -> None:
    """There is nothing to do, and nothing wrong."""
    file.write_text("\n\n")
    result = command("send", str(file))
    assert (result.status, result.json[0]["sent"], service.requests) == (0, 0, [])


def interrupted(service, arguments: list[str], after: int, how: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run a sending that is struck by a signal once ingest has answered `after` requests."""
    ordinary = service.answer
    answered = itertools.count(1)

    def striking(request):
        number = next(answered)
        if number <= after:
            return ordinary(request)
        if number == after + 1:
            running.send_signal(how)
        return service.problem(503, "unavailable", "away")

    service.answer = striking
    with subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "twinstream", "send", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        out, err = running.communicate(timeout=60)
    service.answer = ordinary
    return subprocess.CompletedProcess(arguments, running.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_sending_goes_on_where_it_stopped(service, command, file: Path, how: signal.Signals) -> None:
    """However it was interrupted: every record arrives, and what was acknowledged is not sent again."""
    ndjson(file, 5 * PER_WAVE)
    assert interrupted(service, [str(file)], 2 * WaveSize.lanes, how).returncode != 0
    first_run = {number for request in service.requests[: 2 * WaveSize.lanes] for number in ids(request.lines)}
    service.requests.clear()
    result = command("send", str(file))
    assert result.status == 0
    assert "Going on after line" in result.err
    second_run = set(ids(service.accepted))
    assert first_run | second_run == set(range(1, 5 * PER_WAVE + 1))
    assert len(second_run) < 4 * PER_WAVE
    assert result.json[0]["accepted"] == 5 * PER_WAVE
    assert "Going on" not in command("send", str(file)).err


@pytest.mark.usefixtures("surroundings")
def test_ctrl_c_says_where_it_stopped(service, file: Path) -> None:
    """And how to go on; exit status 130, as shells count a Ctrl-C."""
    ndjson(file, 5 * PER_WAVE)
    result = interrupted(service, [str(file)], 2 * WaveSize.lanes, signal.SIGINT)
    assert result.returncode == 130
    assert "Stopped after line" in result.stderr
    assert "the same command goes on there" in result.stderr
    assert "Traceback" not in result.stderr


def test_refusals_are_counted_once_however_often_a_sending_is_interrupted(
    service, command, file: Path, tmp_path: Path
) -> None:
    """The file of refusals, too, goes on where it stopped."""
    refusals = tmp_path / "refusals.ndjson"
    bad = (1, PER_WAVE, 2 * PER_WAVE + 1, 3 * PER_WAVE, 5 * PER_WAVE)
    ndjson(file, 5 * PER_WAVE, bad)
    arguments = [str(file), "--refusals", str(refusals)]
    interrupted(service, arguments, 2 * WaveSize.lanes, signal.SIGKILL)
    with refusals.open("ab") as torn:
        torn.write(b'{"line":')  # a wave whose refusals were written, but which was not acknowledged as a whole
    result = command("send", *arguments)
    assert [json.loads(line)["line"] for line in refusals.read_text().splitlines()] == list(bad)
    assert result.json[0]["refused"] == len(bad)


def given_up(service, command, file: Path) -> None:
    """A sending that ended after two waves, since ingest was away."""
    ordinary = service.answer
    limit = 2 * WaveSize.lanes
    service.answer = lambda request: (
        ordinary(request) if len(service.requests) < limit else service.problem(503, "unavailable", "away")
    )
    result = command("send", str(file), "--patience", "0")
    service.answer = ordinary
    assert result.status == 1
    assert "the same command goes on there" in result.err


@pytest.mark.parametrize(
    "change",
    [
        lambda file: ndjson(file, 5 * PER_WAVE + 1),
        lambda file: os.utime(file, (1, 1)),
        lambda _file: None,
    ],
    ids=["another content", "another time of change", "asked to"],
)
def test_another_file_begins_anew(service, command, file: Path, change: Callable[[Path], object]) -> None:
    """What has changed since is another file; --restart begins anew, too."""
    ndjson(file, 5 * PER_WAVE)
    given_up(service, command, file)
    before = file.stat()
    change(file)
    service.requests.clear()
    result = command("send", str(file), *(["--restart"] if file.stat() == before else []))
    assert "Going on" not in result.err
    assert 1 in ids(service.accepted)


def test_a_place_that_cannot_be_kept_is_told(command, surroundings: Path, file: Path) -> None:
    """In a line, with the path."""
    surroundings.write_text("a file where a folder should be")
    result = command("send", str(ndjson(file, 10)))
    assert result.status == 1
    assert str(surroundings) in result.err
    assert "Traceback" not in result.err


def test_patience_is_a_choice(service, command, file: Path) -> None:
    """When it ends, the place is told; what was acknowledged is kept."""
    service.answer = lambda _request: service.problem(503, "unavailable", "Kafka is away")
    result = command("send", str(ndjson(file, 10)), "--patience", "0")
    assert result.status == 1
    assert "unavailable" in result.err
    assert "Kafka is away" in result.err


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_a_file_too(service, pack: Callable[[bytes], bytes]) -> None:
    """Compressed or not."""
    data = pack(b'{"unique_identifier":1}\n{"unique_identifier":2}\n')
    result = subprocess.run(
        [sys.executable, "-m", "twinstream", "send", "-"], input=data, capture_output=True, check=True, timeout=60
    )
    assert json.loads(result.stdout)["accepted"] == 2
    assert sorted(ids(service.accepted)) == [1, 2]


@pytest.mark.usefixtures("surroundings")
def test_a_live_pipe_flows(service) -> None:
    """A line that was written is sent though the pipe stays open; Ctrl-C ends it at once."""
    with subprocess.Popen(
        [sys.executable, "-m", "twinstream", "send", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        came = service.expect(1)
        running.stdin.write(b'{"unique_identifier":1}\n')
        running.stdin.flush()
        assert came.wait(60)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.usefixtures("surroundings")
def test_a_terminal_shows_a_bar(file: Path) -> None:
    """On 80 columns, and a summary for people at its end."""
    ndjson(file, 3 * PER_WAVE)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "twinstream", "send", str(file)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    ) as running:
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        assert running.wait(60) == 0
    os.close(leader)
    text = shown.decode()
    assert "━" in text
    assert f"{3 * PER_WAVE:,} records sent" in text
    assert "\x1b[" in text


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # the other side is closed
        return b""
