"""Images without an engine: the Dockerfile's own lines, carried out in a folder that stands for a container's disk."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_S = 90.0  # other work may keep this machine busy


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction and its arguments, lines joined and comments left out."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


@dataclass(frozen=True)
class Image:
    """What the first stage of the build left, under `disk` instead of under the root."""

    disk: Path

    @property
    def python(self) -> Path:
        return self.disk / "opt/twinstream/bin/python"

    @property
    def packages(self) -> set[str]:
        """The distributions that it holds."""
        return {
            path.name.partition("-")[0] for path in self.disk.glob("opt/twinstream/lib/*/site-packages/*.dist-info")
        }

    def build(self, arguments: Mapping[str, str]) -> None:
        """Carry out COPY and RUN of the stage `build`, with the paths of the image moved under `disk`."""
        folder = self.disk
        for word, rest in self._stage():
            if word == "WORKDIR":
                folder = self.disk / rest.lstrip("/")
                folder.mkdir(parents=True)
            elif word == "COPY":
                *sources, target = rest.split()
                for source in sources:
                    _copy(ROOT / source, folder / target)
            elif word == "RUN":
                self._run(re.sub(r"--mount=\S+", "", rest), folder, arguments)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`docker run` of it, to its end."""
        command = [str(self.python), "-m", *arguments]
        return subprocess.run(  # noqa: S603  # our own image
            command, env=_environment(environment), cwd=self.disk, capture_output=True, text=True, check=False
        )

    @asynccontextmanager
    async def started(self, module: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`docker run -d` of it; whatever happens, it does not outlive the test."""
        process = await asyncio.create_subprocess_exec(
            self.python, "-m", module, env=_environment(environment), cwd=self.disk, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def healthy(self, url: str, process: asyncio.subprocess.Process) -> None:
        """Wait until the image's own health check is content with `url`, as long as `process` lives."""
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(lambda: self.run("common.probe", url).returncode):
                if process.returncode is not None:
                    _, said = await process.communicate()
                    pytest.fail(said.decode())
                await asyncio.sleep(0.2)

    def _stage(self) -> Iterator[tuple[str, str]]:
        inside = False
        for word, rest in instructions((ROOT / "Dockerfile").read_text()):
            if word == "FROM":
                inside = rest.endswith(" AS build")
            elif inside:
                yield word, rest

    def _run(self, script: str, folder: Path, arguments: Mapping[str, str]) -> None:
        moved = script.replace("/opt/", f"{self.disk}/opt/")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(  # noqa: S603  # our own Dockerfile
            ["/bin/sh", "-eu", "-c", moved],
            env=_environment({**arguments, "PATH": path}),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{moved}\n{done.stdout}{done.stderr}"


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours from outside, as in a container."""
    own = ("TWINSTREAM_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | dict(added)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="session")
def image_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Image]:
    """The image of an extra, and another one where it is named, built when it is first asked for."""
    built: dict[tuple[str, str], Image] = {}

    def image(extra: str, also: str = "") -> Image:
        asked = extra, also or extra
        if asked not in built:
            built[asked] = Image(tmp_path_factory.mktemp(f"image-{extra}"))
            built[asked].build(dict(zip(("EXTRA", "ALSO"), asked, strict=True)))
        return built[asked]

    return image
