"""Rules: what people want to be told of, and what of it makes two alerts the same."""

from hashlib import blake2b
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from common.alerts import Severity
from common.contracts import Stream
from matching.folding import fold

MAX_NAME_CHARACTERS: Final = 64
MAX_KEYWORDS: Final = 5_000
MAX_KEYWORD_CHARACTERS: Final = 256
MAX_REGEXES: Final = 100
MAX_DESTINATIONS: Final = 20
MAX_RULE_BYTES: Final = 512 * 1024  # a rule is one message of the control topic
MAX_SECONDS: Final = 30 * 24 * 60 * 60

Seconds = Annotated[int, Meta(ge=0, le=MAX_SECONDS)]


class Terms(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What to look for in a text: words or phrases as `matching.folding.fold` leaves them, regexes of RE2."""

    keywords: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()


class Rule(Terms, kw_only=True, frozen=True, omit_defaults=False):
    """A rule as people write it and as it stands in control; its version is the offset that wrote it.

    It holds for a record of one of its streams when the text has any of its own keywords and regexes (if it has any),
    all of `all` and none of `none`, and `when` is true.
    """

    name: str
    streams: tuple[Stream, ...] = (Stream.A, Stream.B)
    all: Terms = Terms()
    none: Terms = Terms()
    when: str | None = None  # CEL, see matching.conditions
    severity: Severity = Severity.WARNING
    destinations: tuple[str, ...] = ()
    cooldown_seconds: Seconds = 0
    group_seconds: Seconds = 0
    enabled: bool = True


class VersionedRule(NamedTuple):
    """A rule and its version, the offset in control that wrote it."""

    rule: Rule
    version: int


def match_revision(rule: Rule) -> str:
    """Names what `rule` looks for, whatever it then does about it: 16 hex digits.

    Streams are no part of it, for an alert's id has its record's. Nor are the order of terms or the case of keywords.
    """
    looked_for = [(_keywords(terms), sorted(set(terms.regexes))) for terms in (rule, rule.all, rule.none)]
    return _digest((*looked_for, rule.when), size=8)


def alert_id(rule: str, revision: str, stream: Stream, record_id: str, text: str) -> str:
    """The id of the alert that the rule of this name and match revision raises on a record's text: 32 hex digits.

    A replay, a redelivery or the same text sent again gives the same id, and so does any change of the rule but of
    what it looks for.
    """
    return _digest((rule, revision, stream, record_id, text), size=16)


def _keywords(terms: Terms) -> list[str]:
    return sorted({fold(keyword).strip() for keyword in terms.keywords})


def _digest(parts: object, size: int) -> str:
    return blake2b(msgspec.json.encode(parts), digest_size=size).hexdigest()
