"""Folding: chunk by chunk as in one go, for all of Unicode, with a true way back, in time proportional to the text."""
# ruff: noqa: RUF001  # letters that look like others are the point

import re
import sys
import time
from collections.abc import Callable
from unicodedata import category, normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.characters import IGNORED, JOINING, PERHAPS_TIED, SPECIAL
from matching.folding import _CHUNK, Derived, _fold_characters, clean, fold

ALL = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
DERIVATIONS = pytest.mark.parametrize("derive", [clean, _fold_characters])

texts = st.text(
    st.sampled_from(
        "aAsßiIİı '’\n\u00a0\u200b\u00ad\ufe0f\u0301\u0323\u0307\u0345ﬁ㍿カﾊﾞﾟ\u1100\u1161\u11a8가ᾳς\u09c7\u09be´👍🏽"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=40,
)


def test_a_character_that_is_called_untied_and_plain_is_folded_by_itself() -> None:
    """The short way holds for all of Unicode: what it skips would have changed nothing."""
    watched = re.compile(f"[{PERHAPS_TIED}{SPECIAL}]")
    forbidden = re.compile(f"^[{JOINING}]|[{IGNORED}‘’‛ʼ‐‑ı]|i\u0307|[^\\S ]")
    plain = [c for c in ALL if not watched.match(c)]
    assert len(plain) > 1_000_000
    assert [c for c in plain if forbidden.search(normalize("NFKC", c).casefold())] == []


def test_format_characters_are_ignored() -> None:
    assert [c for c in ALL if category(c) == "Cf" and (clean(c) or fold(c))] == []


def test_folding_what_is_folded_changes_nothing() -> None:
    assert [c for c in ALL if fold(fold(c)) != fold(c)] == []


@DERIVATIONS
@settings(max_examples=500)
@given(texts)
def test_a_text_in_one_go_is_its_chunks_one_by_one(derive: Callable[[str], str], text: str) -> None:
    assert derive(text) == "".join(derive(chunk[0]) for chunk in _CHUNK.finditer(text))


@settings(max_examples=500)
@given(texts)
def test_spans_of_single_characters_are_in_order_and_cover_what_is_not_ignored(text: str) -> None:
    for derived in (Derived.cleaned(text), Derived.folded(text)):
        spans = [derived.span(n, n + 1) for n in range(len(derived.text))]
        assert spans == sorted(spans)
        covered = {place for start, end in spans for place in range(start, end)}
        assert [c for n, c in enumerate(text) if n not in covered and clean(c)] == []


@pytest.mark.parametrize(
    ("original", "folded"),
    [
        ("It\u2019s  A\r\n\tTEST\u2028x", "it's a test x"),
        ("\u202eabc\u202c", "abc"),
        ("Ǆ ŉ", "dž 'n"),
        ("ΐ", "ΐ"),
        ("i\u0307\u0301", "í"),
        ("", ""),
        ("\u200b\u200d", ""),
        ("\x00\x1f", "\x00 "),
        ("´", " \u0301"),
    ],
)
def test_what_is_left_of_a_text(original: str, folded: str) -> None:
    assert fold(original) == folded


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0323" * 16_000,
        "a" + "\u0315" * 16_000 + "\u0323" * 16_000,
        "a" + "\u200b" * 21_000 + "\u0301",
        "\u11a8" * 21_000,
        "e\u0301" * 21_000,
        "\n" * 65_000,
        "ß" * 32_000,
        ("e" + "\u200b" * 700 + "\u0301") * 30,
        "\U0001f1e9" * 16_000,
        "a\u0301\u200d" * 10_000,
    ],
    ids=lambda text: ascii(text[:4]),
)
def test_no_text_takes_more_than_time_in_proportion(text: str) -> None:
    """`unicodedata` alone takes two seconds for the first two."""
    started = time.thread_time()
    for derived in (Derived.cleaned(text), Derived.folded(text)):
        derived.span(0, 1)
    assert time.thread_time() - started < 1
