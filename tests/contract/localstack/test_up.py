"""`twinstream up` and its companions, as separate processes, the way people run them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest

from localstack.claims import Claim, Claims
from localstack.free_ports import on_free_ports
from localstack.profile import Profile, port_variable

PATIENCE_S = 180.0  # other work may keep this machine busy
ALL = {"kafka", "valkey", "mongo", "documents", "ingest", "query-api"}


@dataclass
class Terminal:
    """One set-up of the product on ports of its own, and commands to type."""

    profile: Profile
    environment: Mapping[str, str]
    started: list[subprocess.Popen[bytes]]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "twinstream", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def up(self) -> "Up":
        """`twinstream up` in a terminal of its own, that is: with a process group for the Ctrl-C."""
        output = self.profile.home / f"output-{len(self.started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "twinstream", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return Up(process, output)

    @property
    def claims(self) -> list[Claim]:
        return Claims(self.profile.run).all()

    def processes(self) -> list[dict[str, object]]:
        """What `status` says."""
        return [json.loads(line) for line in self.run("status", "--json").stdout.splitlines()]


@dataclass
class Up:
    """A running `up`."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def until_stopping(self) -> None:
        self.until(lambda: "Ctrl-C again kills" in self.said)

    def until_ready(self) -> None:
        self.until(lambda: "Everything is ready" in self.said)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    profile = on_free_ports(Profile(tmp_path))
    ports = {port_variable(name): str(port) for name, port in profile.ports.items()}
    started: list[subprocess.Popen[bytes]] = []
    terminal = Terminal(profile, {**os.environ, **ports, "TWINSTREAM_HOME": str(tmp_path)}, started)
    yield terminal
    for process in started:
        process.kill()
        process.wait()
    left = [claim for claim in terminal.claims if claim.process() is not None]
    for claim in left:
        os.killpg(claim.pid, signal.SIGKILL)


def send_and_find(profile: Profile, record_id: str) -> None:
    """A record, the way the printed commands do it."""
    headers = {"Authorization": f"Bearer {profile.key_file.read_text().strip()}"}
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as http:
        record = {"unique_identifier": record_id, "number": 1, "text": "Hello"}
        sent = http.post(f"{profile.url('ingest')}/v1/streams/a/records", json=record)
        assert sent.status_code == httpx.codes.ACCEPTED, sent.text
        deadline = time.monotonic() + PATIENCE_S
        while not is_found(profile, record_id):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def is_found(profile: Profile, record_id: str) -> bool:
    headers = {"Authorization": f"Bearer {profile.key_file.read_text().strip()}"}
    url = f"{profile.url('query_api')}/v1/a/{record_id}"
    return httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code == httpx.codes.OK


def test_up_survives_its_own_kill(terminal: Terminal) -> None:
    """The next one stops what was left, starts anew and finds all data; `down` ends it in good order."""
    first = terminal.up()
    first.until_ready()
    processes = terminal.processes()
    assert {process["process"] for process in processes} >= ALL
    assert {process["state"] for process in processes} == {"ready"}
    send_and_find(terminal.profile, "a-1")

    second = terminal.run("up")
    assert second.returncode == 1
    assert f"it runs already, as pid {first.process.pid}, since 20" in second.stderr
    assert terminal.run("reset", "--yes").returncode == 1

    first.process.kill()
    first.process.wait()
    left = terminal.claims
    assert {process["state"] for process in terminal.processes()} == {"orphaned"}
    assert terminal.run("reset", "--yes").returncode == 1

    third = terminal.up()
    third.until_ready()
    for claim in left:
        assert f"Stopping {claim.name} (pid {claim.pid})" in third.said
        assert claim.process() is None
    assert is_found(terminal.profile, "a-1")

    down = terminal.run("down")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "Stopped.")
    assert third.process.wait(PATIENCE_S) == 0
    assert terminal.claims == []
    assert terminal.run("down").stdout == "Nothing was running.\n"
    assert terminal.run("status").returncode == 1

    assert terminal.run("reset", "--yes").returncode == 0
    assert not (terminal.profile.home / "data").exists()
    assert not terminal.profile.key_file.exists()


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGHUP, signal.SIGHUP]],
    ids=["Ctrl-C", "a repeated SIGTERM", "a terminal that closes"],
)
def test_a_signal_while_starting_leaves_nothing_behind(terminal: Terminal, numbers: list[signal.Signals]) -> None:
    """It reaches the terminal's group alone, and `up` ends in good order what it had begun."""
    up = terminal.up()
    up.until(lambda: len(terminal.claims) >= 3)
    begun = terminal.claims
    for number in numbers:
        os.killpg(up.process.pid, number)
        up.until_stopping()
    assert up.process.wait(PATIENCE_S) == 0
    assert "Error" not in up.said
    assert "Killing" not in up.said
    assert all(claim.process() is None for claim in begun)
    assert terminal.claims == []


def test_a_second_ctrl_c_kills(terminal: Terminal) -> None:
    """For whoever will not wait."""
    up = terminal.up()
    up.until(lambda: len(terminal.claims) > 3)  # Kafka is ready, and takes its time to stop
    begun = terminal.claims
    suspended = psutil.Process(next(claim.pid for claim in begun if claim.name == "mongo"))
    suspended.suspend()
    os.killpg(up.process.pid, signal.SIGINT)
    up.until_stopping()
    os.killpg(up.process.pid, signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    assert "Killing what still runs" in up.said
    assert all(claim.process() is None for claim in begun)


def test_a_port_in_use_starts_nothing(terminal: Terminal) -> None:
    """It says which port, for what, who has it, and what to set."""
    holder = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print(flush=True); input()"
    port = str(terminal.profile.ports["mongo"])
    command = [sys.executable, "-S", "-c", holder, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: S603  # as above
        assert other.stdout is not None
        other.stdout.readline()
        up = terminal.run("up")
        other.communicate(b"\n")
    assert up.returncode == 1
    assert f"port {port} (mongo) is in use by " in up.stderr
    assert f"(pid {other.pid}): stop it, or set TWINSTREAM_MONGO_PORT" in " ".join(up.stderr.split())
    assert not (terminal.profile.home / "data").exists()


def test_a_service_that_cannot_start_is_explained(terminal: Terminal) -> None:
    """With the end of its log, and everything else is stopped again."""
    up = replace(terminal, environment={**terminal.environment, "TWINSTREAM_MAX_BODY_BYTES": "much"}).run("up")
    assert up.returncode == 1
    assert "Error: Twinstream cannot start" in up.stderr
    assert "ingest ended at its start: exit status 78" in up.stderr
    assert "TWINSTREAM_MAX_BODY_BYTES" in up.stderr
    assert terminal.claims == []


def test_a_setting_that_does_not_fit_starts_nothing(terminal: Terminal) -> None:
    """It is known before anything is started."""
    up = replace(terminal, environment={**terminal.environment, "TWINSTREAM_LINGER_MS": "soon"}).run("up")
    assert up.returncode == 1
    assert "TWINSTREAM_LINGER_MS" in up.stderr
    assert "Traceback" not in up.stderr
    assert not (terminal.profile.home / "data").exists()


def test_logs_of_every_process_can_be_read(terminal: Terminal) -> None:
    """Before there are any, and of a name that nobody has, it says what there is."""
    assert "no logs yet" in terminal.run("logs").stdout
    terminal.profile.logs.mkdir()
    (terminal.profile.logs / "kafka.log").write_text("one\ntwo\n")
    assert terminal.run("logs", "kafka", "-n", "1").stdout == "two\n"
    unknown = terminal.run("logs", "kafak")
    assert unknown.returncode == 1
    assert "There are: kafka." in unknown.stderr
