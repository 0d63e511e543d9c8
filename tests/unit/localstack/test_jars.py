"""Jars, out of a Maven repository over HTTP."""

import hashlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.errors import CannotStart
from localstack.jars import Fetched, Jar, fetch, local_repository, locked

CONTENTS = {"first": b"first jar" * 1000, "second": b"second jar" * 2000}


def jar(name: str) -> Jar:
    content = CONTENTS[name]
    return Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())


JARS = [jar("first"), jar("second")]


class Remote:
    """A Maven repository; `broken` says how often a jar comes damaged before it comes whole."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.broken: dict[str, int] = {}
        remote = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = Path(self.path).name.removesuffix("-1.0.jar")
                content = remote.content(name)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.urls = {"test": f"http://127.0.0.1:{self.server.server_port}"}

    def content(self, name: str) -> bytes | None:
        if name not in CONTENTS:
            return None
        self.asked[name] += 1
        return CONTENTS[name][:-1] + b"?" if self.asked[name] <= self.broken.get(name, 0) else CONTENTS[name]


@pytest.fixture
def remote(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    remote = Remote()
    thread = threading.Thread(target=remote.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield remote
    remote.server.shutdown()
    remote.server.server_close()
    thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_missing_jars_are_fetched_into_the_layout_of_maven(remote, repository) -> None:
    """In the order of the lock, whatever the order of their coming."""
    files = fetch(JARS, repository=repository, remotes=remote.urls)
    assert files == [repository / f"org/example/{name}/1.0/{name}-1.0.jar" for name in CONTENTS]
    assert [file.read_bytes() for file in files] == list(CONTENTS.values())


def test_jars_that_are_there_need_no_network(remote, repository) -> None:
    """The second start is offline, and reports nothing to wait for."""
    fetch(JARS, repository=repository, remotes=remote.urls)
    remote.asked.clear()
    reports: list[Fetched] = []
    fetch(JARS, reports.append, repository=repository, remotes={})
    assert remote.asked == {}
    assert reports == []


def test_progress_counts_up_to_all(remote, repository) -> None:
    """In jars and in bytes."""
    reports: list[Fetched] = []
    fetch(JARS, reports.append, repository=repository, remotes=remote.urls)
    size = sum(map(len, CONTENTS.values()))
    assert reports[-1] == Fetched(2, 2, size, size)
    assert [report.jars for report in reports] == [1, 2]


def test_a_jar_that_was_tampered_with_is_never_run(remote, repository) -> None:
    """Same name, same size, one byte different: what was locked takes its place."""
    first, _ = fetch(JARS, repository=repository, remotes=remote.urls)
    first.write_bytes(b"F" + CONTENTS["first"][1:])
    fetch(JARS, repository=repository, remotes=remote.urls)
    assert first.read_bytes() == CONTENTS["first"]


def test_a_remote_that_serves_something_else_is_refused(remote, repository) -> None:
    """With the name of the jar and both hashes, and nothing is left where Java would find it."""
    remote.broken = {"first": 1000}
    with pytest.raises(CannotStart) as refusal:
        fetch(JARS, repository=repository, remotes=remote.urls)
    message = str(refusal.value)
    assert "org.example:first:1.0" in message
    assert JARS[0].sha256 in message
    assert hashlib.sha256(CONTENTS["first"][:-1] + b"?").hexdigest() in message
    assert [path.name for path in repository.rglob("*first*")] == []


def test_a_broken_download_is_fetched_again(remote, repository) -> None:
    """Twice, before it is given up."""
    remote.broken = {"first": 2}
    files = fetch(JARS, repository=repository, remotes=remote.urls)
    assert files[0].read_bytes() == CONTENTS["first"]
    assert remote.asked["first"] == 3


def test_a_jar_that_nobody_has_is_told(remote, repository) -> None:
    """By its coordinate."""
    unknown = Jar("org.example", "third", "1.0", 1, "0" * 64)
    with pytest.raises(CannotStart, match=r"org\.example:third:1\.0 cannot be had"):
        fetch([unknown], repository=repository, remotes=remote.urls)


def test_a_network_that_is_away_is_told(repository) -> None:
    """As what it is: nothing is wrong with the jar."""
    with pytest.raises(CannotStart, match=r"org\.example:first:1\.0 cannot be had"):
        fetch([jar("first")], repository=repository, remotes={"none": "http://127.0.0.1:1"})


def test_fetching_can_be_stopped(remote, repository) -> None:
    """Ctrl-C need not wait for the rest."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(CannotStart, match="interrupted"):
        fetch(JARS, repository=repository, remotes=remote.urls, stop=stop)
    assert remote.asked == {}


def test_a_repository_that_cannot_be_written_to_is_told(tmp_path, remote) -> None:
    """With the setting that names another one."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="M2_REPO"):
        fetch(JARS, repository=tmp_path / "file" / "repository", remotes=remote.urls)


def test_nothing_half_done_stays_behind(remote, repository) -> None:
    """Other tools use the repository too."""
    remote.broken = {"first": 1}
    fetch(JARS, repository=repository, remotes=remote.urls)
    assert list(repository.glob(".fetching-*")) == []


def test_the_repository_is_mavens_own(monkeypatch, tmp_path) -> None:
    """Unless the environment names another."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("M2_REPO", raising=False)
    assert local_repository() == tmp_path / ".m2" / "repository"
    monkeypatch.setenv("M2_REPO", str(tmp_path / "elsewhere"))
    assert local_repository() == tmp_path / "elsewhere"


def test_the_lock_holds_a_whole_kafka() -> None:
    """Of one version, with what writes its log, and a hash for each jar."""
    jars = locked()
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert len(kafka) == 1
    assert {"kafka_2.13", "kafka-clients", "kafka-tools", "log4j-slf4j-impl"} <= {jar.artifact for jar in jars}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
