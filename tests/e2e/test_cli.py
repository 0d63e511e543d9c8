"""The command against the running product, as a person or a script uses it."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.contracts import Scope

WITHIN_S = 60  # the store of the local default takes a while to take in thousands


class Command:
    """Runs `twinstream` as a process of its own, beside the loop that keeps the servers running."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # our own command
            [sys.executable, "-m", "twinstream", *arguments],
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What it prints; fails the test when it exits with another status."""
        command = Command({**self._environment, **environment})
        return await command.ended(command.start(*arguments), status)

    async def ended(self, process: subprocess.Popen[bytes], status: int = 0) -> str:
        out, err = await asyncio.to_thread(process.communicate)
        assert process.returncode == status, err.decode()
        return out.decode() if status == 0 else out.decode() + err.decode()

    async def until(self, holds: Callable[[str], bool], *arguments: str, status: int = 0, **environment: str) -> str:
        """What it prints, once that, and its status, are as they should be."""
        command = Command({**self._environment, **environment})
        async with asyncio.timeout(WITHIN_S):
            while True:
                process = command.start(*arguments)
                out, err = await asyncio.to_thread(process.communicate)
                said = out.decode() if status == 0 else out.decode() + err.decode()
                if process.returncode == status and holds(said):
                    return said
                await asyncio.sleep(0.2)


@pytest.fixture
def twinstream(running: Any, tmp_path: Path) -> Command:
    return Command(
        {
            "TWINSTREAM_URL": running.query_url,
            "TWINSTREAM_INGEST_URL": running.ingest_url,
            "TWINSTREAM_KEY": running.key,
            "TWINSTREAM_HOME": str(tmp_path / "home"),
        }
    )


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def children_of(a_id: str, path: Path, count: int) -> Path:
    """A file of an A and its `count` B."""
    a = {"unique_identifier": a_id, "number": 1, "text": "parent"}
    b = (
        {"unique_identifier": f"{a_id}-{n}", "Stream_A_unique_identifier": a_id, "number": n, "text": f"child {n}"}
        for n in range(count)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in (a, *b)))
    return path


async def test_a_file_of_both_streams_is_sent_and_found(twinstream: Command, tmp_path: Path) -> None:
    """The A by its id, its B by the A: every one, once, page by page."""
    a_id = f"a/{secrets.token_hex(6)}?x=1 é%2F😀"
    out = await twinstream("send", str(children_of(a_id, tmp_path / "file.ndjson", 1_200)))
    assert records(out)[0]["accepted"] == 1_201
    await twinstream.until(lambda out: len(out.splitlines()) == 1_200, "children", a_id, "--all")
    found = records(await twinstream("children", a_id, "--all", "--order", "id"))
    assert sorted(record["number"] for record in found) == list(range(1_200))
    assert records(await twinstream("get", "a", a_id))[0]["text"] == "parent"
    assert len(records(await twinstream("children", a_id, "--limit", "7"))) == 7


async def test_nothing_is_lost_when_ingest_is_killed_in_the_middle(running: Any, twinstream: Command) -> None:
    """The sending waits until it is back; every record is found in the end."""
    a_id = f"a-{secrets.token_hex(6)}"
    lines = [
        b'{"unique_identifier":"%s-%d","Stream_A_unique_identifier":"%s","number":1,"text":""}\n'
        % (a_id.encode(), n, a_id.encode())
        for n in range(400)
    ]
    with twinstream.start("send", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(lines[:200]))
        process.stdin.flush()
        await twinstream.until(lambda out: len(out.splitlines()) == 200, "children", a_id, "--all")
        running.stack.kill("ingest")
        process.stdin.write(b"".join(lines[200:]))
        process.stdin.close()
        process.stdin = None  # communicate would flush it
        assert records(await twinstream.ended(process))[0]["accepted"] == 400
    await twinstream.until(lambda out: len(out.splitlines()) == 400, "children", a_id, "--all")


async def test_of_one_id_the_last_line_wins(twinstream: Command, tmp_path: Path) -> None:
    """Though several requests are in flight, and no line says when it happened."""
    ids = [f"a-{secrets.token_hex(6)}" for _ in range(50)]
    path = tmp_path / "file.ndjson"
    lines = ({"unique_identifier": record_id, "number": n, "text": ""} for n in range(200) for record_id in ids)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert records(await twinstream("send", str(path)))[0]["accepted"] == 10_000
    for record_id in ids[:5]:
        await twinstream.until(lambda out: records(out)[0]["number"] == 199, "get", "a", record_id)


async def test_refusals_are_told_by_line_and_reason(twinstream: Command, tmp_path: Path) -> None:
    """As ingest words them; the others are accepted."""
    good = '{"unique_identifier":"%s","number":1,"text":""}'
    lines = [
        good % secrets.token_hex(6),
        "",
        '{"unique_identifer":"typo","number":1,"text":""}',
        '{"unique_identifier":"x","number":NaN,"text":""}',
        '{"unique_identifier":"x","number":true,"text":""}',
        "[" * 100_000,
        good % secrets.token_hex(6),
    ]
    path, refusals = tmp_path / "file.ndjson", tmp_path / "refusals.ndjson"
    path.write_text("\n".join(lines))
    out = await twinstream("send", str(path), "--refusals", str(refusals), status=1)
    summary = json.loads(out.splitlines()[0])
    assert (summary["accepted"], summary["refused"]) == (2, 4)
    told = records(refusals.read_text())
    assert [row["line"] for row in told] == [3, 4, 5, 6]
    assert [row["raw"] for row in told] == lines[2:6]
    assert [row["code"] for row in told[:3]] == ["unknown_field", "record_not_json", "wrong_type"]


async def test_a_key_opens_what_its_scopes_allow_until_it_is_revoked(twinstream: Command, tmp_path: Path) -> None:
    """A key for lookups cannot send; a revoked one can do nothing."""
    made = records(await twinstream("keys", "create", "reader", "--scope", Scope.READ))[0]
    reading = {"TWINSTREAM_KEY": made["key"]}
    path = children_of("x", tmp_path / "file.ndjson", 1)
    assert "no B" not in await twinstream("children", f"none-{secrets.token_hex(4)}", **reading)
    assert "forbidden" in await twinstream("keys", "list", status=1, **reading)
    # Ingest learns of the key moments after query-api.
    await twinstream.until(lambda said: "forbidden" in said, "send", str(path), status=1, **reading)
    await twinstream("keys", "revoke", made["id"])
    assert "unauthenticated" in await twinstream("get", "a", "x", status=1, **reading)
    revoked = [key for key in records(await twinstream("keys", "list")) if key["id"] == made["id"]]
    assert revoked[0]["revoked_at"] is not None


async def test_the_demo_streams_synthetic_records_that_can_be_tried(twinstream: Command) -> None:
    """By the commands it names."""
    out = await twinstream("demo", "--synthetic", "--records", "1100", "--seed", str(secrets.randbelow(10**9)))
    assert "1,100 records sent" in out
    assert "1,100 accepted, 0 refused" in out
    tries = [line.split()[1:] for line in out.splitlines() if line.startswith("  ./twinstream")]
    assert len(tries) == 5
    for arguments in tries:
        assert await twinstream.until(bool, *arguments)


async def test_init_makes_topics_and_a_key_once(running: Any, twinstream: Command, tmp_path: Path) -> None:
    """A second time it changes nothing."""
    kafka = {
        "TWINSTREAM_KAFKA_BOOTSTRAP": running.stack.kafka_bootstrap,
        "TWINSTREAM_TOPIC_PREFIX": f"init-{secrets.token_hex(4)}.",
    }
    key_file = tmp_path / "secret" / "key"
    for _ in range(2):
        await twinstream("init", "--partitions", "2", "--key-file", str(key_file), **kafka)
    assert key_file.read_text().startswith("tsk_")
    assert key_file.stat().st_mode & 0o777 == 0o600


async def test_init_says_where_it_looked_for_kafka(twinstream: Command) -> None:
    """And which variable changes that."""
    out = await twinstream("init", "--patience", "0", status=1, TWINSTREAM_KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert "TWINSTREAM_KAFKA_BOOTSTRAP" in out


async def test_a_refused_record_is_found_mended_and_sent_after_all(twinstream: Command, tmp_path: Path) -> None:
    """Listed with its reason, taken into a file, tried in a dry run, replayed once."""
    a_id = f"a-{secrets.token_hex(6)}"
    sent, mended = tmp_path / "sent.ndjson", tmp_path / "mended.ndjson"
    sent.write_text(json.dumps({"unique_identifier": a_id, "number": "12", "text": "mend me"}) + "\n")
    await twinstream("send", str(sent), status=1)
    listed = ("rejected", "list", "--stream", "a", "--code", "wrong_type", "--limit", "1000")
    out = await twinstream.until(lambda out: a_id in out, *listed)
    (rejected_id,) = (one["id"] for one in records(out) if one["record_id"] == a_id)
    bad = await twinstream("rejected", "show", rejected_id, "--raw")
    assert "wrong_type" in await twinstream("rejected", "replay", rejected_id, status=1)
    mended.write_text(bad.replace('"12"', "12"))
    replay = ("rejected", "replay", rejected_id, "--record", str(mended))
    assert [one["outcome"] for one in records(await twinstream(*replay))] == ["acceptable"]
    assert [one["outcome"] for one in records(await twinstream(*replay, "--yes"))] == ["replayed"]
    assert [one["outcome"] for one in records(await twinstream(*replay, "--yes"))] == ["replayed_before"]
    found = records(await twinstream.until(lambda out: a_id in out, "get", "a", a_id))
    assert (found[0]["number"], found[0]["text"]) == (12, "mend me")


@pytest.mark.long
@pytest.mark.parametrize("source", ["log", "lake"])
async def test_documents_are_rebuilt_while_records_come_and_are_looked_up(
    running: Any, twinstream: Command, tmp_path: Path, source: str
) -> None:
    """As it is typed; what was there, and what comes meanwhile, is found all the time."""
    a_id = f"a-{secrets.token_hex(6)}"
    path = children_of(a_id, tmp_path / "file.ndjson", 300)
    await twinstream("send", str(path))
    await twinstream.until(lambda out: len(out.splitlines()) == 300, "children", a_id, "--all")
    rebuilding = Command(running.stack.profile.environment()).start("rebuild", "documents", "--from", source)
    rounds = 0
    while rebuilding.poll() is None:
        more = children_of(f"{a_id}-{rounds}", tmp_path / "more.ndjson", 5)
        await twinstream("send", str(more))
        assert len(records(await twinstream("children", a_id, "--all"))) == 300
        await twinstream.until(lambda out: len(out.splitlines()) == 5, "children", f"{a_id}-{rounds}", "--all")
        rounds += 1
    _, err = await asyncio.to_thread(rebuilding.communicate)
    assert (rebuilding.returncode, rounds > 1) == (0, True), err.decode()
    assert err.decode().count('"switched"') == 2
    for number in range(rounds):
        assert len(records(await twinstream("children", f"{a_id}-{number}", "--all"))) == 5
