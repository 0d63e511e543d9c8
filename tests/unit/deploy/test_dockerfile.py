"""The Dockerfile keeps to the rules of its trade, and its context holds only what it copies."""

import subprocess
import sys
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
