"""What synthetic records say, in several languages and scripts. Pure."""

import tomllib
from importlib.resources import files
from typing import NamedTuple

import msgspec

from twinstream.demo.chance import mix


class Language(msgspec.Struct, frozen=True):
    """Sentences, and signals to plant among them; `weight` is its share of all texts."""

    weight: int
    sentences: list[str]
    signals: list[str]


class Planted(NamedTuple):
    """A signal in a text; `start` and `end` count code points."""

    phrase: str
    start: int
    end: int


class Text(NamedTuple):
    """A text and the signal that was planted in it, or None."""

    text: str
    planted: Planted | None


def languages() -> dict[str, Language]:
    """All languages by name."""
    source = files("twinstream.demo").joinpath("phrases.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(source), dict[str, Language])


class Texts:
    """Texts by chance: 64 bits decide language, sentences and signal; the same bits make the same text."""

    def __init__(self, signal_every: int) -> None:
        self._signal_every = signal_every
        self._wheel = [language for language in languages().values() for _ in range(language.weight)]

    def text(self, about: int, revision: int) -> Text:
        """The text of what has the bits `about`; a later revision of it says mostly the same and a sentence more."""
        language = self._wheel[about % len(self._wheel)]
        sentences = _chosen(language.sentences, about)
        fresh = mix(about + revision)
        if revision:
            sentences.append(language.sentences[fresh % len(language.sentences)])
        number = str(about >> 40)
        if mix(fresh) % self._signal_every:
            return Text(" ".join(sentences).replace("{n}", number), None)
        phrase = language.signals[(fresh >> 32) % len(language.signals)]
        head = " ".join(sentences[: fresh % (len(sentences) + 1)]).replace("{n}", number)
        tail = " ".join(sentences[fresh % (len(sentences) + 1) :]).replace("{n}", number)
        return _planted(head, phrase, tail)


def _chosen(sentences: list[str], bits: int) -> list[str]:
    """One to five of `sentences`, none of them twice."""
    places = (8 + 8 * place for place in range(1 + (bits >> 56) % 5))
    return list(dict.fromkeys(sentences[(bits >> place) % len(sentences)] for place in places))


def _planted(head: str, phrase: str, tail: str) -> Text:
    before = f"{head} " if head else ""
    start = len(before)
    return Text(f"{before}{phrase}{f' {tail}' if tail else ''}", Planted(phrase, start, start + len(phrase)))
