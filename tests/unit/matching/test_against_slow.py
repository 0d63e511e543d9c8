"""The matcher against one as slow and obvious as can be: same hits, same spans, on random rules and texts.

The slow one asks every rule about every place of the text, by the definitions alone. It shares no code with the other.
"""
# ruff: noqa: RUF001  # letters that look like others are the point

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise, takewhile
from unicodedata import category, combining, name, normalize

from hypothesis import given, settings
from hypothesis import strategies as st

from common.contracts import RecordA, Stream
from matching.boundaries import is_boundary
from matching.folding import Derived
from matching.matcher import Matcher
from matching.rules import Rule, Terms, VersionedRule

CONDITIONS: Mapping[str, Callable[[RecordA], bool]] = {
    "number > 1.0": lambda record: record.number > 1.0,
    "number <= 1.0 || text.contains('a')": lambda record: record.number <= 1.0 or "a" in record.text,
    "1.0 / number > 0.0 && text.size() / int(number) > 3": lambda record: (
        record.number >= 1 and len(record.text.encode()) // int(record.number) > 3
    ),
}
"""What random rules choose `when` from."""

FoundSpan = tuple[int, int, str]
UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")
ELISIONS = {*"cdjlmnstv", "qu", "un"}  # those that random texts make


def hits(rules: Iterable[Rule], stream: Stream, record: RecordA) -> list[tuple[str, tuple[FoundSpan, ...]]]:
    """The names of the rules that hold, each with its spans in order."""
    return [
        (rule.name, tuple(sorted({*_spans(rule, record.text), *_spans(rule.all, record.text)})))
        for rule in rules
        if rule.enabled and stream in rule.streams and _holds(rule, record)
    ]


def _holds(rule: Rule, record: RecordA) -> bool:
    any_of, all_of, none_of = (_term_finds(terms, record.text) for terms in (rule, rule.all, rule.none))
    return (
        (not any_of or any(any_of))
        and all(all_of)
        and not any(none_of)
        and (rule.when is None or CONDITIONS[rule.when](record))
    )


def _term_finds(terms: Terms, text: str) -> list[bool]:
    return [
        *(any(_keyword_places(keyword, text)) for keyword in terms.keywords),
        *(any(_regex_places(pattern, text)) for pattern in terms.regexes),
    ]


def _spans(terms: Terms, text: str) -> Iterator[FoundSpan]:
    for keyword in terms.keywords:
        written = next(other for other in terms.keywords if folded(other).strip() == folded(keyword).strip())
        yield from ((start, end, written) for start, end in _keyword_places(keyword, text))
    for pattern in terms.regexes:
        yield from ((start, end, pattern) for start, end in _regex_places(pattern, text))


# --- terms ----------------------------------------------------------------------------------------------------------


def _keyword_places(keyword: str, text: str) -> Iterator[tuple[int, int]]:
    wanted = folded(keyword).strip()
    places = pieces(text, uncollapsed)
    units = _collapsed(places)
    whole = "".join(derived for _, _, derived in units)
    allowed = boundaries(whole, text, units)
    for start in range(len(whole)):
        end = start + len(wanted)
        if whole[start:end] == wanted and start in allowed and end in allowed:
            yield _original(text, units, start, end)


def _regex_places(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    units = [unit for piece in pieces(text, cleaned) for unit in _by_character(piece)]
    for found in re.finditer(pattern, cleaned(text), re.ASCII):
        yield _original(text, units, *found.span())


def _original(text: str, units: list[FoundSpan], start: int, end: int) -> tuple[int, int]:
    """The original's stretch; what says how the last character looks belongs to it."""
    behind = units[end - 1][1]
    while behind < len(text) and _is_look(text[behind]):
        behind += 1
    return units[start][0], behind


# --- forms of a text ------------------------------------------------------------------------------------------------


def cleaned(text: str) -> str:
    return normalize("NFKC", "".join(c for c in text if not is_ignored(c)))


def uncollapsed(text: str) -> str:
    cased = cleaned(text).casefold().replace("i\u0307", "i")
    return normalize("NFKC", "".join(map(_ours, cased)))


def folded(text: str) -> str:
    return re.sub(" +", " ", uncollapsed(text))


def _ours(character: str) -> str:
    if character.isspace():
        return " "
    return {"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "‐": "-", "‑": "-", "ı": "i"}.get(character, character)


def is_ignored(character: str) -> bool:
    return category(character) == "Cf" or character == "\u034f" or _is_look(character)


def _is_look(character: str) -> bool:
    known = name(character, "")
    return "VARIATION SELECTOR" in known or "EMOJI MODIFIER" in known


def pieces(text: str, derive: Callable[[str], str]) -> list[FoundSpan]:
    """The shortest pieces, from the left, that are derived alone as they are in the whole."""
    solid = [n for n, character in enumerate(text) if not is_ignored(character)]
    found = []
    while solid:
        rest = "".join(text[n] for n in solid)
        size = next(n for n in range(1, len(rest) + 1) if derive(rest[:n]) + derive(rest[n:]) == derive(rest))
        found.append((solid[0], solid[size - 1] + 1, derive(rest[:size])))
        solid = solid[size:]
    return found


def _by_character(piece: FoundSpan) -> list[FoundSpan]:
    return [(piece[0], piece[1], character) for character in piece[2]]


def _collapsed(places: list[FoundSpan]) -> list[FoundSpan]:
    units: list[FoundSpan] = []
    for start, end, character in (unit for piece in places for unit in _by_character(piece)):
        if character == " " and units and units[-1][2] == " ":
            units[-1] = (units[-1][0], end, " ")
        else:
            units.append((start, end, character))
    return units


# --- words ----------------------------------------------------------------------------------------------------------


def boundaries(whole: str, original: str, units: list[FoundSpan]) -> set[int]:
    """The places where no word, no letter with its marks, no emoji and no flag goes on."""
    starts = [n for n, character in enumerate(whole) if n == 0 or category(character)[0] != "M"]
    clusters = [whole[a:b] for a, b in pairwise([*starts, len(whole)])]
    within = set()
    flag_halves = 0
    for n in range(1, len(clusters)):
        before, cluster = clusters[n - 1 : n + 1]
        flag_halves = flag_halves + 1 if _is_flag_half(before) and len(before) == 1 else 0
        left_out = original[units[starts[n] - 1][1] : units[starts[n]][0]]
        if (
            (_in_word(before) and _in_word(cluster))
            or (combining(before[-1]) == 9 and category(cluster[0])[0] == "L")
            or (_is_flag_half(cluster) and flag_halves % 2 == 1)
            or (_is_emoji(before) and _is_emoji(cluster) and "\u200d" in left_out)
        ):
            within.add(starts[n])
        if n + 1 < len(clusters) and _is_one_word(clusters, n):
            within.update((starts[n], starts[n + 1]))
    return {*starts, len(whole)} - within


def _in_word(cluster: str) -> bool:
    is_unspaced = category(cluster[0])[0] == "L" and name(cluster[0]).startswith(UNSPACED_SCRIPTS)
    return category(cluster[0])[0] in "LN" and not is_unspaced


def _is_flag_half(cluster: str) -> bool:
    return name(cluster[0], "").startswith("REGIONAL INDICATOR")


def _is_emoji(cluster: str) -> bool:
    return category(cluster[0]) == "So" and not _is_flag_half(cluster)


def _is_one_word(clusters: list[str], n: int) -> bool:
    """Whether the n-th one, an apostrophe or the like, makes one word of those before and after it."""
    before, middle, after = clusters[n - 1 : n + 2]
    if not (_in_word(before) and _in_word(after)):
        return False
    if middle in {".", ","}:
        return category(before[0])[0] == category(after[0])[0] == "N"
    if middle != "'":
        return middle == "_"
    word_after = "".join(takewhile(_in_word, clusters[n + 1 :]))
    word_before = "".join(reversed(list(takewhile(_in_word, reversed(clusters[:n])))))
    return word_after != "s" and word_before not in ELISIONS


# --- the comparison -------------------------------------------------------------------------------------------------

CHARACTERS = [*"aAbsSlLtiIİıßéxX1290", *" \n\t", *"'’_-.,!", "  ", "ﬁ", "ﬀ", "²", "ｂ", "㎏", "\u00a0", "\u2011"]
MARKS = ["\u0301", "\u0323", "\u0307", "\u0345", "\u200b", "\u200d", "\u00ad", "\ufe0f"]
OTHERS = [*"дДйИΣςσᾳ", "\u0306", *"返金㍿かがカｶﾞ\u3099가각", "\u1100", "\u1161", "\u11a8", *"กิ้ำา", *"कि्षক\u09c7\u09be"]
EMOJI = ["👎", "🏽", "❤", "👩", "🚀", "🇩", "🇪", "\u20e3"]
REGEXES = [r"[a-b]+", "(?:a|A)b?", r"s\S", "[0-9]{2,}", "x$", "^a", "a.s", r"(?:if|fi)", "金+", "k"]

texts = st.lists(st.sampled_from([*CHARACTERS, *MARKS, *OTHERS, *EMOJI]), max_size=30).map("".join)
words = st.lists(st.sampled_from([*CHARACTERS, *MARKS, *OTHERS, *EMOJI]), min_size=1, max_size=3).map("".join)
keywords = words.filter(lambda word: bool(folded(word).strip()))


@st.composite
def terms(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    return {
        "keywords": tuple(draw(st.lists(keywords, max_size=4))),
        "regexes": tuple(draw(st.lists(st.sampled_from(REGEXES), max_size=2, unique=True))),
    }


@st.composite
def random_rules(draw: st.DrawFn) -> list[Rule]:
    rules = [
        Rule(
            name=f"rule-{n}",
            **draw(terms()),
            all=Terms(**draw(terms() if draw(st.integers(0, 3)) == 0 else st.just({}))),
            none=Terms(**draw(terms() if draw(st.integers(0, 3)) == 0 else st.just({}))),
            when=draw(st.sampled_from([None, None, None, *CONDITIONS])),
            streams=draw(st.sampled_from([(Stream.A,), (Stream.B,), (Stream.A, Stream.B)])),
            enabled=draw(st.integers(0, 9)) > 0,
        )
        for n in range(draw(st.integers(1, 5)))
    ]
    return [rule for rule in rules if rule.when or any([*_terms_of(rule), *_terms_of(rule.all)])]


def _terms_of(terms: Terms) -> tuple[str, ...]:
    return terms.keywords + terms.regexes


@settings(max_examples=400)
@given(random_rules(), st.data())
def test_the_fast_matcher_finds_what_the_slow_one_finds(rules: list[Rule], data: st.DataObject) -> None:
    written = [keyword for rule in rules for keyword in (*rule.keywords, *rule.all.keywords)]
    parts = st.lists(texts | st.sampled_from([*written, " "]), max_size=6).map("".join)
    record = RecordA(
        id="a", number=data.draw(st.sampled_from([0.0, 1.0, 2.0])), text=data.draw(parts), event_time=0, ingested_at=0
    )
    matcher = Matcher.compile([VersionedRule(rule, n) for n, rule in enumerate(rules)])
    for stream in Stream:
        found = matcher.match(stream, record)
        assert [
            (hit.rule.name, tuple((span.start, span.end, span.pattern) for span in hit.spans)) for hit in found
        ] == hits(rules, stream, record)
        assert all(span.text == record.text[span.start : span.end] for hit in found for span in hit.spans)


@settings(max_examples=400)
@given(texts)
def test_every_place_of_a_text_is_a_boundary_for_both_or_for_none(text: str) -> None:
    units = _collapsed(pieces(text, uncollapsed))
    whole = "".join(derived for _, _, derived in units)
    fast = Derived.folded(text)
    assert fast.text == whole
    allowed = {place for place in range(len(whole) + 1) if is_boundary(fast, place)}
    assert allowed | {0, len(whole)} == boundaries(whole, text, units) | {0, len(whole)}
