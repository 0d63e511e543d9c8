"""What matching is measured with: rules and records of made-up words, the same in every run."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import msgspec

from common.contracts import RecordB
from matching.rules import Rule, VersionedRule

Sounds = tuple[list[str], list[str], list[str]]
# Beginnings, vowels and ends of syllables: in words, not every letter follows every other.
SOUNDS: dict[str, Sounds] = {
    "ascii": ([*"bcdfghklmnprstvw", "st", "tr", "pl", "ch"], [*"aeiou"], ["", "", *"nrst"]),
    "cyrillic": ([*"бвгджзклмнпрстфхш", "ст", "пр", "тр"], [*"аеиоуыя"], ["", "", *"нрсй"]),
}
TEXT_CHARACTERS = 200
PLANTED_SHARE = 0.05  # of the records hold a keyword, whatever the number of rules
STEM_SHARE = 0.1  # of the keywords are beginnings of words in texts: found by the automaton, refused by boundaries
STEM_CHARACTERS = 7
LANGUAGE_WORDS = 20_000


class Language:
    """Made-up words, used as often as natural ones are: the n-th in proportion to 1 / n (Zipf's law)."""

    def __init__(self, sounds: Sounds, seed: int) -> None:
        self.random = Random(seed)  # no secret: the same in every run
        self._sounds = sounds
        self.words = [self.word(2, 4) for _ in range(LANGUAGE_WORDS)]
        self._stems = sorted({word[:STEM_CHARACTERS] for word in self.words} - set(self.words))
        self._weights = list(accumulate(1 / (n + 1) for n in range(LANGUAGE_WORDS)))

    def word(self, fewest: int, most: int) -> str:
        """A word of so many syllables."""
        syllables = range(self.random.randint(fewest, most))
        return "".join(self.random.choice(sound) for _ in syllables for sound in self._sounds)

    def keyword(self) -> str:
        if self.random.random() < STEM_SHARE:
            return self.random.choice(self._stems)
        return " ".join(self.word(3, 5) for _ in range(self.random.randint(1, 3)))

    def text(self, planted: str) -> str:
        words = self.random.choices(self.words, cum_weights=self._weights, k=TEXT_CHARACTERS // 4)
        return f"{planted} {' '.join(words)}".strip()[: TEXT_CHARACTERS - 1].capitalize() + "."


@dataclass(frozen=True)
class Workload:
    rules: Sequence[VersionedRule]
    ceiling_keywords: Sequence[str]
    records: Sequence[bytes]
    planted: int


def of_keywords(sounds: Sounds, count: int, records: int) -> Workload:
    """`count` rules of one keyword or phrase each."""
    language = Language(sounds, count)
    keywords = [language.keyword() for _ in range(count)]
    rules = [Rule(name=f"rule-{n}", keywords=(keyword,)) for n, keyword in enumerate(keywords)]
    return _workload(language, rules, keywords, [k for k in keywords if len(k) > STEM_CHARACTERS], records)


def of_regexes(sounds: Sounds, count: int, records: int) -> Workload:
    """`count` rules of one regex each."""
    language = Language(sounds, count)
    stems = [language.word(3, 5) for _ in range(count)]
    rules = [Rule(name=f"rule-{n}", regexes=(rf"(?i)\b{stem}[- ]?\d{{4,}}\b",)) for n, stem in enumerate(stems)]
    return _workload(language, rules, stems, [f"{stem}-4711" for stem in stems], records)


def _workload(language: Language, rules: list[Rule], keywords: list[str], plants: list[str], records: int) -> Workload:
    random = language.random
    planted = [random.choice(plants) if random.random() < PLANTED_SHARE else "" for _ in range(records)]
    return Workload(
        rules=[VersionedRule(rule, n) for n, rule in enumerate(rules)],
        ceiling_keywords=keywords,
        records=[msgspec.json.encode(_record(n, language.text(keyword))) for n, keyword in enumerate(planted)],
        planted=sum(map(bool, planted)),
    )


def _record(n: int, text: str) -> RecordB:
    return RecordB(id=f"b-{n}", a_id=f"a-{n}", number=n / 3, text=text, event_time=n, ingested_at=n * 1000)
