"""How long a process that died has to wait."""

from itertools import accumulate

from localstack.child import Backoff

BACKOFF = Backoff(first_s=0.5, longest_s=30, steady_after_s=60)


def test_it_doubles_up_to_the_longest() -> None:
    """A process that cannot live costs ever less."""
    waits = list(accumulate(range(8), lambda former, _: BACKOFF.after(former, lived_s=1), initial=BACKOFF.first_s))
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_first_death_waits_least() -> None:
    """However short the life was."""
    assert BACKOFF.after(0, lived_s=0) == 0.5


def test_one_that_was_steady_begins_anew() -> None:
    """What happened an hour ago says nothing of now."""
    assert BACKOFF.after(30, lived_s=60) == 0.5
    assert BACKOFF.after(30, lived_s=59) == 30
