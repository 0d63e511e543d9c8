"""How much a caller may ask for, with others counting too."""

import pytest

from common.clock import ManualClock
from common.errors import Refused
from throttling.minutes import MINUTE_MS, Minutes, Usage

START_MS = 1_000 * MINUTE_MS + 45_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


def admitted(minutes: Minutes, caller: str, size: int = 0, *, tries: int = 100) -> int:
    """How many of `tries` requests are let through."""
    count = 0
    for _ in range(tries):
        try:
            minutes.admit(caller, size)
        except Refused:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("limits", "size", "let_in"),
    [
        ((5, 0), 10, 5),
        ((0, 100), 30, 3),
        ((50, 100), 30, 3),
        ((2, 100), 30, 2),
        ((5, 100), 101, 0),
        ((0, 0), 9**9, 100),
    ],
)
def test_the_tighter_limit_holds(clock, limits, size, let_in) -> None:
    """Of requests and bytes; a limit of 0 is none."""
    assert admitted(Minutes(Usage(*limits), clock), "ann", size) == let_in


def test_each_caller_has_an_account(clock) -> None:
    """What one uses up is not another's."""
    minutes = Minutes(Usage(3, 0), clock)
    assert [admitted(minutes, caller) for caller in ("ann", "bob", "ann")] == [3, 3, 0]


def test_the_next_minute_begins_anew(clock) -> None:
    """And whoever is refused is told when that is."""
    minutes = Minutes(Usage(1, 0), clock)
    minutes.admit("ann", 0)
    with pytest.raises(Refused, match="A key may send 1 requests in a minute") as refused:
        minutes.admit("ann", 0)
    assert refused.value.extra == {"retry_after_s": 15}
    clock.advance(ms=15_000)
    assert admitted(minutes, "ann") == 1


def test_what_others_counted_counts(clock) -> None:
    """The total is everyone's; what was counted here since it was told comes on top."""
    minutes = Minutes(Usage(10, 0), clock)
    assert admitted(minutes, "ann", tries=2) == 2
    told = minutes.untold()
    minutes.admit("ann", 0)
    minutes.agree(minutes.minute, told, {"ann": Usage(8, 0)})
    assert minutes.untold() == {"ann": Usage(1, 0)}
    assert admitted(minutes, "ann") == 1


def test_what_is_told_too_late_changes_nothing(clock) -> None:
    """A reply about a minute that is over."""
    minutes = Minutes(Usage(2, 0), clock)
    minutes.admit("ann", 0)
    minute, told = minutes.minute, minutes.untold()
    clock.advance(ms=MINUTE_MS)
    assert minutes.untold() == {}
    minutes.agree(minute, told, {"ann": Usage(2, 0)})
    assert admitted(minutes, "ann") == 2
