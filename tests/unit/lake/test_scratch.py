"""What a killed process left behind is gone after the next start of any; what a living one has stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from lake.scratch import scratch

CLAIM = "from lake.scratch import scratch\nwith scratch() as folder: print(folder, flush=True); input()"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def claimed(elsewhere: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process with a folder of its own, in which there is something."""
    process = subprocess.Popen(  # noqa: S603  # our own
        [sys.executable, "-c", CLAIM],
        env={"TMPDIR": str(elsewhere)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "query-1").mkdir()
    (folder / "query-1" / "spilled").write_bytes(b"x")
    return process, folder


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_has_is_not(elsewhere: Path) -> None:
    """Whichever process starts next; a folder goes with its process in good order, too."""
    killed, left = claimed(elsewhere)
    living, kept = claimed(elsewhere)
    (elsewhere / "twinstream-lake-scratch-half").mkdir()  # killed before it had its lock
    (elsewhere / "another-program").mkdir()
    killed.kill()
    killed.wait()
    with scratch() as own:
        assert {path for path in elsewhere.iterdir() if path.name != "another-program"} == {own, kept}
        assert not left.exists()
        living.communicate("\n", timeout=20)
        assert living.returncode == 0
    assert [path.name for path in elsewhere.iterdir()] == ["another-program"]
