"""Matching: records a second on one core, against a loop that decodes, applies NFKC and runs one automaton."""

import time
from collections.abc import Awaitable, Callable
from unicodedata import normalize

import matching_workload as workload
import msgspec
from ahocorasick_rs import AhoCorasick
from harness.figures import Figure, figure, paired

from common.contracts import RecordB, Stream
from matching.matcher import Matcher

ROUNDS = 7
RECORDS = 20_000
KEYWORD_RULES = (10, 1_000, 10_000)
AIMED_RULES = 1_000
REGEX_RULES = 1_000
AIM_RATIO = 0.4
AIM_RATE = {"ascii": 50_000, "cyrillic": 25_000}
AIM_GROWTH = 2.0

Loop = Callable[[], None]


async def run(*, quick: bool) -> list[Figure]:
    rounds, records = (3, 2_000) if quick else (ROUNDS, RECORDS)
    figures: list[Figure] = []
    for script, sounds in workload.SOUNDS.items():
        works = {count: workload.of_keywords(sounds, count, records) for count in KEYWORD_RULES}
        for count, work in works.items():
            aim = AIM_RATE[script] if count == AIMED_RULES else None
            figures += await _against_bare(f"{script}, {count:,} keyword rules", work, rounds, aim)
        fewest, most = _matching(works[KEYWORD_RULES[0]]), _matching(works[KEYWORD_RULES[-1]])
        _, _, growth = await paired(rounds, _rate(fewest, records), _rate(most, records))
        figures.append(
            figure(f"{script}, time of 10,000 rules / of 10", "ratio", growth, better="lower", aim=AIM_GROWTH)
        )
    work = workload.of_regexes(workload.SOUNDS["ascii"], REGEX_RULES, records)
    return [*figures, *await _against_bare(f"ascii, {REGEX_RULES:,} regex rules", work, rounds, None)]


async def _against_bare(name: str, work: workload.Workload, rounds: int, aim: float | None) -> list[Figure]:
    count = len(work.records)
    measured, _, ratios = await paired(rounds, _rate(_matching(work), count), _rate(bare_loop(work), count))
    return [
        figure(name, "records/s", measured, aim=aim),
        figure(f"{name}, of the ceiling", "ratio", ratios, aim=AIM_RATIO if aim else None),
    ]


def _rate(loop: Loop, count: int) -> Callable[[], Awaitable[float]]:
    """Records a second of this thread's own time: what others do on the machine meanwhile is no part of it."""

    async def measure() -> float:
        started = time.thread_time()
        loop()
        return count / (time.thread_time() - started)

    return measure


def _matching(work: workload.Workload) -> Loop:
    matcher = Matcher.compile(work.rules)
    decoder = msgspec.json.Decoder(RecordB)

    def loop() -> None:
        hits = 0
        for raw in work.records:
            hits += len(matcher.match(Stream.B, decoder.decode(raw)))
        if hits < work.planted:
            raise AssertionError(f"{hits} hits of {work.planted} that were planted")

    return loop


def bare_loop(work: workload.Workload) -> Loop:
    automaton = AhoCorasick(work.ceiling_keywords, store_patterns=False)
    decoder = msgspec.json.Decoder(RecordB)

    def loop() -> None:
        for raw in work.records:
            automaton.find_matches_as_indexes(normalize("NFKC", decoder.decode(raw).text), overlapping=True)

    return loop
