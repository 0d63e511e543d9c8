"""How a process of ours ends when it cannot do what it was started for."""

import asyncio

import pytest

from common.errors import CannotStart, Refused, TryLater, TwinstreamError
from common.process import main
from common.settings import Settings


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process does to the logging of all of it is not done to the tests."""
    monkeypatch.setattr("common.process.configure_logging", lambda _service, _level: None)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (CannotStart("TWINSTREAM_X: no"), 78, "rebuild cannot start:\nTWINSTREAM_X: no\n"),
        (Refused("too_many_missing", "75 %"), 65, "rebuild refuses (too_many_missing):\n75 %\n"),
        (TryLater("Kafka is away"), 75, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_its_status_says_what_to_do(
    capsys: pytest.CaptureFixture[str], error: TwinstreamError, status: int, told: str
) -> None:
    """Change what does not fit, see why it was refused, or start it again."""

    async def run(_settings: Settings, _stop: asyncio.Event) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main("rebuild", Settings, run)
    assert (ended.value.code, told in capsys.readouterr().err) == (status, True)
