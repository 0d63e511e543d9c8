"""The bytes in hand: counted, bounded and given back."""

import pytest

from common.errors import Refused
from ingest.budget import Budget


def test_shares_are_bounded_together() -> None:
    """What one request holds, another cannot have."""
    budget = Budget(100)
    with budget.share() as one, budget.share() as another:
        one.grow_to(60)
        another.grow_to(40)
        with pytest.raises(Refused, match="overloaded: More than 100 bytes"):
            another.grow_to(41)


def test_a_share_grows_by_what_is_new() -> None:
    """A body of a hundred bytes that is counted at every chunk takes a hundred, not the sum."""
    budget = Budget(100)
    with budget.share() as share:
        for size in range(0, 101, 10):
            share.grow_to(size)


def test_what_a_request_held_is_free_when_it_ends() -> None:
    """However it ends: by its answer or by a failure."""
    budget = Budget(100)
    with pytest.raises(Refused), budget.share() as share:
        share.grow_to(101)
    with budget.share() as share:
        share.grow_to(100)
    with budget.share() as share:
        share.grow_to(100)
