"""`twinstream demo` as it is typed."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from common.contracts import IncomingA, IncomingB
from twinstream.demo import debian as of_debian
from twinstream.demo.command import commands
from twinstream.demo.shape import Shape
from twinstream.demo.source import Shown, Witness


@pytest.fixture
def no_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("twinstream.demo.command.debian", lambda now_ms: of_debian.debian(now_ms, tmp_path, tmp_path))


def test_synthetic_records_are_streamed_and_summed_up(service, command) -> None:
    """With commands to try, whose ids were sent."""
    result = command("demo", "--synthetic", "--records", "2200")
    assert result.status == 0
    assert "2,200 records sent" in result.out
    records = {json.loads(line)["unique_identifier"]: json.loads(line) for line in service.accepted}
    tried = [shlex.split(line) for line in result.out.splitlines() if line.strip().startswith("./twinstream")]
    assert [words[1] for words in tried] == ["get", "get", "children", "count", "count"]
    a_id, b_id = tried[0][3], tried[1][3]
    assert a_id in records
    assert records[b_id]["Stream_A_unique_identifier"] == a_id == tried[2][2]


def test_every_b_has_a_parent_in_the_end(service, command) -> None:
    """There are as many ids of A as there are A."""
    command("demo", "--synthetic", "--records", "5500")
    records = [json.loads(line) for line in service.accepted]
    parents = {record["Stream_A_unique_identifier"] for record in records if "Stream_A_unique_identifier" in record}
    assert parents <= {record["unique_identifier"] for record in records}


def test_the_truth_is_written(service, command, tmp_path: Path) -> None:
    """For every signal in what was sent."""
    truth = tmp_path / "truth.ndjson"
    assert command("demo", "--records", "11000", "--truth", str(truth), "--past-day").status == 0
    told = [json.loads(line) for line in truth.read_text().splitlines()]
    sent = {(record["unique_identifier"], record["text"]) for record in map(json.loads, service.accepted)}
    assert len(told) > 3
    for one in told:
        assert any(
            text[one["start"] : one["end"]] == one["phrase"] for record_id, text in sent if record_id == one["id"]
        )
        assert one["event_time"] is not None


@pytest.mark.usefixtures("no_debian")
def test_where_there_are_no_packages_records_are_made_up(command, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is said."""
    monkeypatch.setattr("twinstream.demo.command.DEFAULT", Shape(records=110))
    result = command("demo")
    assert "no Debian packages" in result.err
    assert "110 records sent" in result.out


@pytest.mark.parametrize("option", [["--seed", "7"], ["--records", "110"], ["--synthetic"], ["--past-day"]])
def test_an_option_of_synthetic_records_asks_for_them(
    command, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    """It would mean nothing to packages, and must not be ignored."""
    monkeypatch.setattr("twinstream.demo.command.DEFAULT", Shape(records=110))
    result = command("demo", *option)
    assert "110 records sent" in result.out
    assert "no Debian" not in result.err


def test_a_rate_is_kept(service, command) -> None:
    """In small waves, so that the stream flows."""
    result = command("demo", "--synthetic", "--records", "60", "--rate", "100/s")
    assert result.status == 0
    assert max(len(request.lines) for request in service.requests) <= 25
    assert len(service.accepted) == 60


def test_commands_survive_a_shell() -> None:
    """Whatever the ids are."""
    get_a, get_b, children, *_ = map(shlex.split, commands("it's/1 $(x)", "a b"))
    assert (get_a[3], get_b[3], children[2]) == ("a b", "it's/1 $(x)", "a b")


def test_it_ends_once_what_was_sent_can_be_looked_up(service, command) -> None:
    """By the receipts of all of it: the store may be seconds behind the log."""
    asked: list[str] = []
    ordinary = service.answer

    def behind_at_first(request: Any) -> Any:
        if "/v1/b/lookup" not in request.path:
            return ordinary(request)
        asked.append(request.path)
        return service.problem(504, "not_yet") if len(asked) < 3 else service.created(b'{"items": [null]}')

    service.answer = behind_at_first
    result = command("demo", "--synthetic", "--records", "110")
    assert result.status == 0
    assert len(asked) == 3
    assert all("wait_for=" in path for path in asked)
    assert "can be looked up" in result.err


def test_a_key_that_may_not_look_up_does_not_wait(service, command) -> None:
    """It sent all the same."""
    ordinary = service.answer

    def without_reading(request: Any) -> Any:
        return service.problem(403, "forbidden") if "/lookup" in request.path else ordinary(request)

    service.answer = without_reading
    result = command("demo", "--synthetic", "--records", "110")
    assert result.status == 0
    assert "can be looked up" not in result.err


def test_a_witness_remembers_the_a_with_the_most_b() -> None:
    """Of those it saw before their B; everything passes."""
    records = [
        IncomingB(id="b-1", a_id="a-9", number=1, text=""),
        IncomingB(id="b-2", a_id="a-9", number=1, text=""),
        IncomingA(id="a-1", number=1, text=""),
        IncomingA(id="a-2", number=1, text=""),
        IncomingB(id="b-3", a_id="a-1", number=1, text=""),
        IncomingB(id="b-4", a_id="a-2", number=1, text=""),
        IncomingB(id="b-5", a_id="a-2", number=1, text=""),
    ]
    witness = Witness()
    assert list(witness.watch(records[:4])) == records[:4]
    assert witness.shown is None
    assert list(witness.watch(records[4:])) == records[4:]
    assert witness.shown == Shown("b-5", "a-2")
