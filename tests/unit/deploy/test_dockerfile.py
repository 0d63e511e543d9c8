"""The Dockerfile keeps to the rules of its trade, and its context holds only what it copies."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    """Neither in the instructions nor in the scripts within them."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_context_is_what_is_copied() -> None:
    """A file that no COPY names cannot slip into a layer, nor make its cache useless."""
    copied = {
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == copied


def test_an_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    """No root, a health check, labels; nothing is written beside the code."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last
    assert "HEALTHCHECK" in last
    assert "PYTHONDONTWRITEBYTECODE=1" in last
    assert last.count("org.opencontainers.image.") == 5


def test_our_own_code_is_whole_in_what_is_installed(parts, tmp_path) -> None:
    """Every process's package lies at the top of the wheel, whatever folder it comes from."""
    uv = Path(sys.executable).with_name("uv")
    building = [
        uv,
        "build",
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "-o",
        tmp_path,
        ROOT,
    ]
    subprocess.run(building, check=True)  # noqa: S603
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{part.module.replace('.', '/')}/__init__.py" for part in parts} <= held
    assert {"twinstream/__main__.py", "aggregates/scripts/apply.lua", "localstack/kafka.lock.toml"} <= held
