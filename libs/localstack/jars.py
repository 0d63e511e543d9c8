"""Jars, Kafka's first of all: exactly the locked ones, fetched from Maven repositories into the user's local one.

The lock names each jar with its size and SHA-256, so that nothing has to be resolved at a start and nothing else can
be run. A jar is moved into the local repository, which other tools share, only once it is whole and the right one.
"""

import hashlib
import os
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from common.errors import CannotStart

LOCK: Final = Path(__file__).with_name("kafka.lock.toml")

_AT_ONCE: Final = 6
_ATTEMPTS: Final = 3
_TIMEOUT_S: Final = 30


@dataclass(frozen=True)
class Jar:
    """One locked artifact; `size` in bytes, `sha256` in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> Path:
        """Where Maven repositories keep it."""
        return Path(*self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar")


@dataclass(frozen=True)
class Fetched:
    """How much of what was missing has come; `size` and `of_size` in bytes."""

    jars: int
    of_jars: int
    size: int
    of_size: int


Progress = Callable[[Fetched], None]
"""Called from several threads, one at a time; never when nothing is missing."""


def locked(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of the lock, in the order of the class path."""
    entries = tomllib.loads(lock.read_text(encoding="utf-8"))["jars"]
    return tuple(_jar(coordinate, **entry) for coordinate, entry in entries.items())


def _jar(coordinate: str, *, size: int, sha256: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, size, sha256)


def local_repository() -> Path:
    """Maven's own: M2_REPO, else ~/.m2/repository."""
    named = os.environ.get("M2_REPO")
    return Path(named).expanduser() if named else Path.home() / ".m2" / "repository"


def fetch(
    jars: Sequence[Jar],
    progress: Progress = lambda _: None,
    repository: Path | None = None,
    *,
    remotes: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> list[Path]:
    """The files of `jars`, every one of them verified, in their order.

    What the local `repository` lacks or holds damaged comes from `remotes`, by default Maven Central; setting `stop`
    ends that early.

    Raises:
        CannotStart: a jar cannot be had, or is not what the lock says; names it.
    """
    repository = repository or local_repository()
    files = [repository / jar.path for jar in jars]
    with ThreadPoolExecutor(_AT_ONCE, "jars") as pool:
        missing = [jar for jar, right in zip(jars, pool.map(_is_right, jars, files), strict=True) if not right]
        download = _Download(missing, repository, remotes, progress, stop or threading.Event())
        list(pool.map(download.fetch, missing))
    return files


class _Download:
    """The missing jars on their way; called from several threads."""

    def __init__(
        self,
        jars: Sequence[Jar],
        repository: Path,
        remotes: Mapping[str, str] | None,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._repository = repository
        self._remotes = None if remotes is None else dict(remotes)
        self._progress = progress
        self._stop = stop
        self._lock = threading.Lock()
        self._fetched = Fetched(0, len(jars), 0, sum(jar.size for jar in jars))

    def fetch(self, jar: Jar) -> None:
        """Fetch, verify and put into its place one jar; a broken download is fetched again."""
        problem = ""
        for _ in range(_ATTEMPTS):
            problem = self._attempt(jar)
            if not problem:
                self._count(jar)
                return
        self._stop.set()  # the others need not finish
        raise CannotStart(f"the jar {jar.coordinate} cannot be had: {problem}")

    def _attempt(self, jar: Jar) -> str:
        """What went wrong; empty when the jar is in its place."""
        if self._stop.is_set():
            raise CannotStart("fetching jars was interrupted")
        with self._staging() as folder:
            try:
                file = self._resolve(jar, folder)
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeErrors
                return str(error)
            if not _is_right(jar, file):
                return f"what was fetched has the SHA-256 {_sha256(file)}, the lock says {jar.sha256}"
            target = self._repository / jar.path
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        return ""

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A folder on the repository's own file system, so that a jar appears there at once or not at all."""
        try:
            self._repository.mkdir(parents=True, exist_ok=True)
            folder = TemporaryDirectory(prefix=".fetching-", dir=self._repository)
        except OSError as error:
            raise CannotStart(
                f"cannot keep jars in {self._repository}: {error.strerror}; M2_REPO names another folder"
            ) from error
        with folder as name:
            yield Path(name)

    def _resolve(self, jar: Jar, folder: Path) -> Path:
        from jgo.maven import MavenContext  # noqa: PLC0415  # half a second that a start with all jars there is spared

        context = MavenContext(repo_cache=folder, remote_repos=self._remotes, timeout=_TIMEOUT_S)
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

    def _count(self, jar: Jar) -> None:
        with self._lock:
            before = self._fetched
            self._fetched = Fetched(before.jars + 1, before.of_jars, before.size + jar.size, before.of_size)
            self._progress(self._fetched)


def _is_right(jar: Jar, file: Path) -> bool:
    return file.is_file() and file.stat().st_size == jar.size and _sha256(file) == jar.sha256


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
