"""Synthetic records have the shape of the mission."""

import json
import math
import tracemalloc
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest

from common.contracts import DAY_MS, IncomingB, Stream
from twinstream.demo.shape import B_PER_A, Ids, Shape
from twinstream.demo.synthetic import Synthetic, Truth
from twinstream.demo.texts import languages
from twinstream.demo.truth import TruthFile

NOW_MS = 1_795_420_800_000


def b_ids(shape: Shape, first: int, count: int) -> list[int]:
    ids = Ids(shape)
    return [ids.b(number).number for number in range(first, first + count)]


@pytest.mark.parametrize("day", [5_000, 50_000, 5 * 997])
def test_four_fifths_of_a_days_ids_were_there_the_day_before(day: int) -> None:
    """Once four days have passed; and no id comes twice in a day."""
    shape = Shape(b_per_day=day)
    days = [set(b_ids(shape, number * day, day)) for number in range(5, 8)]
    for before, ids in pairwise(days):
        assert len(ids & before) == 0.8 * day
        assert len(ids) == day


def test_four_fifths_repeat_from_the_start() -> None:
    """However short a run is, one in five records has a new id."""
    for count in (100, 1_000, 20_000):
        assert len(set(b_ids(Shape(), 0, count))) == count / 5


def test_ids_never_end_and_are_forgotten_after_five_days() -> None:
    """The world of B is unbounded, its present is not."""
    shape = Shape(b_per_day=10_000)
    early, late = set(b_ids(shape, 50_000, 10_000)), set(b_ids(shape, 120_000, 10_000))
    assert not early & late
    assert max(late) > max(early)


def test_a_is_walked_around() -> None:
    """Each id once in a round."""
    ids = Ids(Shape(a_ids=1_000))
    places = [ids.a(number) for number in range(2_500)]
    assert [place.number for place in places[:1_000]] == list(range(1_000))
    assert places[2_499] == (499, 2)


def test_there_is_one_a_for_ten_b() -> None:
    """A hundred thousand a day to a million."""
    streams = Counter(isinstance(record, IncomingB) for record, _ in Synthetic(Shape(records=11_000)))
    assert streams[True] == B_PER_A * streams[False] == 10_000


def test_parents_follow_zipfs_law() -> None:
    """Few have very many children, and who they are differs from seed to seed."""
    ids = Ids(Shape(a_ids=30_000, zipf=1.1))
    counts = Counter(ids.parent(number, 0) for number in range(200_000))
    ranked = [count for _, count in counts.most_common()]
    slope = (math.log(ranked[49]) - math.log(ranked[4])) / (math.log(50.5) - math.log(5.5))
    assert slope == pytest.approx(-1.1, abs=0.12)
    other = Ids(Shape(a_ids=30_000, zipf=1.1, seed=2))
    assert counts.most_common(1)[0][0] != Counter(other.parent(n, 0) for n in range(10_000)).most_common(1)[0][0]


def test_a_b_that_comes_again_mostly_stays_with_its_parent_and_its_text() -> None:
    """Now and then it moves, and about a third of the time it says something more."""
    seen: dict[str, IncomingB] = {}
    moved = changed = repeated = 0
    for record, _ in Synthetic(Shape(records=60_000, b_per_day=5_000)):
        if isinstance(record, IncomingB):
            if (before := seen.get(record.id)) is not None:
                repeated += 1
                moved += before.a_id != record.a_id
                changed += before.text != record.text
            seen[record.id] = record
    assert 0.005 < moved / repeated < 0.1
    assert 0.2 < changed / repeated < 0.6


def test_the_same_seed_makes_the_same_records() -> None:
    """All of them, in any order of asking; another seed makes others."""
    shape = Shape(records=2_000)
    once = list(Synthetic(shape, NOW_MS))
    assert list(Synthetic(shape, NOW_MS)) == once
    assert [Synthetic(shape, NOW_MS).record(number) for number in (1_999, 0, 77)] == [once[1_999], once[0], once[77]]
    other = list(Synthetic(Shape(records=2_000, seed=2), NOW_MS))
    assert sum(one.record.text == two.record.text for one, two in zip(once, other, strict=True)) < 200


def test_the_truth_tells_exactly_where_signals_are() -> None:
    """In code points, with the record's own id, stream and time; nowhere else is there a signal."""
    phrases = [phrase for language in languages().values() for phrase in language.signals]
    planted = 0
    for record, truth in Synthetic(Shape(records=30_000, signal_every=50), NOW_MS):
        if truth is None:
            assert not any(phrase.casefold() in record.text.casefold() for phrase in phrases)
            continue
        planted += 1
        assert record.text[truth.start : truth.end] == truth.phrase
        assert record.text.count(truth.phrase) == 1
        assert (truth.id, truth.event_time) == (record.id, record.event_time)
        assert truth.stream is (Stream.B if isinstance(record, IncomingB) else Stream.A)
    assert planted == pytest.approx(600, rel=0.25)


def test_signals_stand_behind_characters_that_bytes_and_utf16_count_otherwise() -> None:
    """Else a consumer that counts wrong would never be found out."""
    heads = [
        record.text[: truth.start]
        for record, truth in Synthetic(Shape(records=30_000, signal_every=20))
        if truth is not None
    ]
    assert any(len(head.encode()) > len(head) for head in heads)
    assert any(len(head.encode("utf-16-le")) > 2 * len(head) for head in heads)


def test_many_languages_and_scripts_are_spoken() -> None:
    """Each of them within a few thousand records."""
    texts = " ".join(record.text for record, _ in Synthetic(Shape(records=5_000)))
    for sample in ("order", "größe", "заказ", "παραγγελίας", "订单", "العميل", "ऑर्डर", "荷物", "kutu", "🎉"):
        assert sample.casefold() in texts.casefold()
    assert len(languages()) == 10


def test_no_sentence_holds_a_signal() -> None:
    """Of any language, in any case."""
    found = [
        (sentence, phrase)
        for language in languages().values()
        for sentence in language.sentences
        for other in languages().values()
        for phrase in other.signals
        if phrase.casefold() in sentence.casefold()
    ]
    assert found == []


def test_event_times_are_spread_over_the_past_day() -> None:
    """Evenly, the last one now; left to ingest where nobody asks for them."""
    times = [record.event_time for record, _ in Synthetic(Shape(records=1_000), NOW_MS)]
    assert times == sorted(times)
    assert times[-1] == NOW_MS
    assert times[0] == NOW_MS - DAY_MS + DAY_MS // 1_000
    assert next(iter(Synthetic(Shape()))).record.event_time is None


def test_every_record_is_one_that_ingest_decodes() -> None:
    """By the same contract, with every limit kept."""
    for record, _ in Synthetic(Shape(records=3_000), NOW_MS):
        assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
        assert math.isfinite(record.number)
        assert len(record.text.encode()) < 4_096


def test_a_run_takes_no_more_memory_the_longer_it_is() -> None:
    """Ids are computed, not stored: even far into a run of a billion."""
    synthetic = Synthetic(Shape(records=10**9))
    synthetic.record(10**9 - 1)
    tracemalloc.start()
    for number in range(5 * 10**8, 5 * 10**8 + 20_000):
        synthetic.record(number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_the_file_of_truths_tells_only_of_what_is_acknowledged(tmp_path: Path) -> None:
    """In the order of the records."""
    path = tmp_path / "truth.ndjson"
    truths = [Truth(Stream.A, f"a-{n}", "refund", 3, 9, None) for n in range(3)]
    with TruthFile(path) as file:
        for number, truth in zip((5, 9, 12), truths, strict=True):
            file.planted(number, truth)
        file.acknowledged(4)
        assert path.read_bytes() == b""
        file.acknowledged(9)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written == [
        {"stream": "a", "id": f"a-{n}", "phrase": "refund", "start": 3, "end": 9, "event_time": None} for n in (0, 1)
    ]


def test_records_can_be_taken_one_by_one() -> None:
    """A run need not be walked to its end."""
    assert len(list(islice(Synthetic(Shape(records=10**12)), 10))) == 10
