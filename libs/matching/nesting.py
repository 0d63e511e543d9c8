"""Keywords that end with many others: of a, aa, aaa, …, all are found at every place of a text of a's.

An automaton would tell of each of them at each place, and a text has tens of thousands. So it looks for those alone
that end with few others; what ends with one of these is looked for from there, backwards, and only where a word ends.
"""

from collections.abc import Iterator, Sequence
from typing import Final

MAX_ENDING: Final = 8
"""Keywords that an automaton finds at the same end."""


class _Node:
    """What stands before what was found: the next character, and the keyword that is whole here."""

    __slots__ = ("before", "number")

    def __init__(self) -> None:
        self.before: dict[str, _Node] = {}
        self.number: int | None = None


class Full:
    """What was found often enough in one text, and is looked for no more."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.nodes: set[_Node] = set()

    def holds_all_of(self, node: _Node) -> bool:
        """Whether there is nothing more to look for at `node` and before it."""
        return (node.number is None or node.number in self.numbers) and self.nodes.issuperset(node.before.values())


class Nesting:
    """Distinct keywords, by their numbers: those for an automaton, and those that are looked for from them."""

    def __init__(self, keywords: Sequence[str]) -> None:
        numbers = {keyword: number for number, keyword in enumerate(keywords)}
        depths, anchors = dict[int, int](), dict[int, int]()
        self.deeper: dict[int, _Node] = {}
        for number in sorted(range(len(keywords)), key=lambda number: len(keywords[number])):
            keyword = keywords[number]
            inner = _longest_inner(keyword, numbers)
            depths[number] = 1 if inner is None else depths[inner] + 1
            if inner is None or depths[number] <= MAX_ENDING:
                anchors[number] = number
                continue
            anchors[number] = anchor = anchors[inner]
            self._hang(keyword[: -len(keywords[anchor])], number, self.deeper.setdefault(anchor, _Node()))
        self.shallow = [number for number in range(len(keywords)) if anchors[number] == number]

    def ending_with(self, number: int, text: str, start: int, full: Full) -> Iterator[tuple[int, int]]:
        """The deeper keywords that end as the shallow one does that was found at `start`: which, and from where."""
        node, at, path = self.deeper.get(number), start, list[_Node]()
        while node is not None and node not in full.nodes:
            path.append(node)
            if node.number is not None and node.number not in full.numbers:
                yield node.number, at
            at -= 1
            node = node.before.get(text[at]) if at >= 0 else None
        while path and full.holds_all_of(path[-1]):
            full.nodes.add(path.pop())

    @staticmethod
    def _hang(before: str, number: int, node: _Node) -> None:
        for character in reversed(before):
            node = node.before.setdefault(character, _Node())
        node.number = number


def _longest_inner(keyword: str, numbers: dict[str, int]) -> int | None:
    """The longest other keyword that `keyword` ends with."""
    inner = (numbers.get(keyword[start:]) for start in range(1, len(keyword)))
    return next((number for number in inner if number is not None), None)
