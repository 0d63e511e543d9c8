"""The shape of the mission: how often which id comes again, and which parents have how many children. Pure.

    A  100k a day in a walk around about 3M ids, so that all are refreshed within 30 days
    B  1M a day, each id of a day once, and 80% of a day's ids were there the day before

Ids of B are born one in every five records and come again once a day for the four days that follow: of a day's records
a fifth each is new, one, two, three and four days old. Until four days have passed there are no ids so old; then those
that exist come again in their place, so that 80% repeat from the start.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from twinstream.demo.chance import Shuffle, Zipf, mix, unit

AGES: Final = 5
B_PER_A: Final = 10
MAX_A_IDS: Final = 3_000_000
_MAX_GROUP: Final = 1024


@dataclass(frozen=True)
class Shape:
    """What a run looks like: counts of ids and records; `signal_every` and `moves_every` are one in so many."""

    seed: int = 1
    records: int = 110_000
    a_ids: int = MAX_A_IDS
    b_per_day: int = 1_000_000
    zipf: float = 1.1
    signal_every: int = 1_000
    moves_every: int = 50


class Place(NamedTuple):
    """Which id a record carries, and the how-manieth time it comes (0 for the first)."""

    number: int
    age: int


class Ids:
    """Ids by a record's number within its stream."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._day = max(1, shape.b_per_day // AGES)  # in blocks: five records, of which one is new
        # Within a group of blocks the order changes from day to day; a day is a whole number of groups.
        self._group = next(size for size in range(min(_MAX_GROUP, self._day), 0, -1) if self._day % size == 0)
        self._shuffles = [Shuffle(self._group, mix(shape.seed) + age) for age in range(AGES)]
        self._zipf = Zipf(shape.a_ids, shape.zipf)
        self._hot = Shuffle(shape.a_ids, mix(shape.seed ^ 0xA))

    def a(self, number: int) -> Place:
        """The id of the A with this number."""
        return Place(number % self._shape.a_ids, number // self._shape.a_ids)

    def b(self, number: int) -> Place:
        """The id of the B with this number."""
        block, age = divmod(number, AGES)
        index = self._born(block, age) - age * self._day
        if index < 0:
            chance = mix(self._shape.seed ^ (number << 1))
            return Place(self._born(chance % (block + 1), 0), age)
        return Place(index, age)

    def parent(self, b_index: int, age: int) -> int:
        """The A of a B; now and then a B that comes again has moved to another one."""
        chance = mix(self._shape.seed ^ (b_index << 3))
        if age and mix(chance + age) % self._shape.moves_every == 0:
            chance = mix(chance ^ age)
        return self._hot.at(self._zipf.rank(unit(chance)))

    def _born(self, block: int, age: int) -> int:
        group, within = divmod(block, self._group)
        return group * self._group + self._shuffles[age].at(within)
