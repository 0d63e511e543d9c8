"""Which revisions are evaluated while conditions are made, changed and deleted."""

import pytest

from aggregates.filling import Gap, gaps
from aggregates.revisions import choose, none_yet, superseded
from common.contracts import Condition, Stream
from windows.standing import ShardStanding, Standing


def condition(name: str = "big", expression: str = "number > 1", created_at: int = 1) -> Condition:
    return Condition(name=name, stream=Stream.B, expression=expression, created_at=created_at, changed_at=1)


@pytest.mark.parametrize(
    ("newest", "stored", "whole", "evaluated"),
    [
        ({}, {}, set(), []),
        ({5: condition()}, {}, set(), [5]),
        ({5: condition()}, {5: condition()}, {5}, [5]),
        # changed: the former answers until the new one is whole
        ({7: condition()}, {5: condition(), 7: condition()}, {5}, [5, 7]),
        ({7: condition()}, {5: condition(), 7: condition()}, {5, 7}, [7]),
        # changed twice: one that never became whole is of no use
        ({9: condition()}, {5: condition(), 7: condition()}, {5}, [5, 9]),
        ({9: condition()}, {5: condition(), 7: condition()}, {5, 7}, [7, 9]),
        # deleted, and made anew under the same name
        ({}, {5: condition()}, {5}, []),
        ({9: condition(created_at=2)}, {5: condition()}, {5}, [9]),
        ({9: condition("other")}, {5: condition()}, {5}, [9]),
        # written by a later version of this: nobody here can evaluate it
        ({9: condition(expression="number.sigma() > 2")}, {}, set(), []),
    ],
)
def test_the_newest_is_evaluated_and_the_former_until_then(newest, stored, whole, evaluated) -> None:
    revisions = choose(none_yet(Stream.B), control=10, newest=newest, stored=stored, whole=whole)
    assert list(revisions.conditions) == evaluated
    assert revisions.token == ",".join(map(str, evaluated))


def test_what_did_not_change_is_not_compiled_again() -> None:
    """Control moves on with every key that somebody makes."""
    first = choose(none_yet(Stream.B), control=6, newest={5: condition()}, stored={}, whole=())
    second = choose(first, control=9, newest={5: condition()}, stored={}, whole=())
    assert second.control == 9
    assert second.compiled is first.compiled


def test_only_what_control_has_told_of_can_be_superseded() -> None:
    """Another worker may know of a condition sooner than we do."""
    revisions = choose(none_yet(Stream.B), control=8, newest={7: condition()}, stored={}, whole=())
    assert superseded(revisions, [3, 7, 8, 12]) == [3]


def shard(live: dict[tuple[int, int], int], filled: dict[tuple[int, int], int]) -> ShardStanding:
    return ShardStanding({5: condition(), 7: condition()}, live, filled)


def test_a_revision_is_whole_once_every_shard_and_partition_is() -> None:
    live = {(5, 0): 100, (5, 1): 0}
    half = Standing(2, [shard(live, {(5, 0): 100}), shard(live, {(5, 0): 40})])
    assert not half.is_whole(5)
    assert half.progress(5) == pytest.approx((1 + 1 + 0.4 + 1) / 4)
    assert half.answering(condition(), 7) is None
    done = Standing(2, [shard(live, {(5, 0): 100}), shard(live, {(5, 0): 120})])
    assert done.whole() == {5}
    assert done.answering(condition(), 7) == 5
    assert done.answering(condition(), 4) is None
    assert done.answering(condition(created_at=2), 7) is None


def test_a_partition_that_is_not_live_yet_is_not_filled_and_not_whole() -> None:
    standing = Standing(2, [shard({(5, 0): 100}, {})])
    assert not standing.is_whole(5)
    assert gaps(standing, [5], [0, 1]) == [Gap(0, 0, 100, (5,))]


def test_gaps_reach_from_the_slowest_shard_to_the_last_to_go_live() -> None:
    one = shard({(5, 0): 100, (7, 0): 150}, {(5, 0): 100, (7, 0): 30})
    other = shard({(5, 0): 110, (7, 0): 150}, {(5, 0): 110, (7, 0): 60})
    standing = Standing(1, [one, other])
    assert gaps(standing, [5, 7], [0]) == [Gap(0, 30, 150, (7,))]
    assert gaps(standing, [5], [0]) == []
