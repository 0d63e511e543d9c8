"""Rules as they are written and answered. OpenAPI's schemas come from here too."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.alerts import Severity
from common.contracts import Stream
from matching.rules import MAX_KEYWORDS, MAX_NAME_CHARACTERS, MAX_REGEXES, Rule, Seconds, Terms, match_revision

Name = Annotated[
    str,
    Meta(
        description=f"1 to {MAX_NAME_CHARACTERS} ASCII letters, digits, dots, hyphens and underscores; begins with a "
        "letter or digit.",
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARACTERS - 1}}}$",
        examples=["refunds"],
    ),
]
Streams = Annotated[tuple[Stream, ...], Meta(description="Whose records it looks at: a, b or both.")]
Keywords = Annotated[
    tuple[str, ...],
    Meta(
        description=f"Words or phrases of which any must be in the text, whatever their case. Up to {MAX_KEYWORDS:,} "
        "in a rule.",
        examples=[["refund", "money back"]],
    ),
]
Regexes = Annotated[
    tuple[str, ...],
    Meta(
        description=f"Regexes of RE2 of which any must be found; `(?i)` lets case go. Up to {MAX_REGEXES} in a rule.",
        examples=[["(?i)order-[0-9]{4,}"]],
    ),
]
All = Annotated[Terms, Meta(description="Keywords and regexes that must all be there.")]
None_ = Annotated[Terms, Meta(description="Keywords and regexes of which none may be there.")]
When = Annotated[
    str | None, Meta(description="A condition in CEL that must hold too.", examples=["number > 100.0", None])
]
Severe = Annotated[Severity, Meta(description="How bad it is.")]
Destinations = Annotated[tuple[str, ...], Meta(description="Who is told, by the names of destinations.")]
Cooldown = Annotated[Seconds, Meta(description="For how long after a message nobody is told of this rule again.")]
Group = Annotated[
    Seconds, Meta(description="The first alert leaves at once, those of so many seconds after it in one digest.")
]
Enabled = Annotated[bool, Meta(description="Whether records are matched against it.")]


class RuleChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a rule shall be from now on."""

    streams: Streams = (Stream.A, Stream.B)
    keywords: Keywords = ()
    regexes: Regexes = ()
    all: All = Terms()
    none: None_ = Terms()
    when: When = None
    severity: Severe = Severity.WARNING
    destinations: Destinations = ()
    cooldown_seconds: Cooldown = 0
    group_seconds: Group = 0
    enabled: Enabled = True


class RuleRequest(RuleChange, kw_only=True, omit_defaults=True):
    """A rule to be made."""

    name: Name


class RuleView(msgspec.Struct, kw_only=True):
    """A rule as it is in force."""

    name: Name
    version: Annotated[int, Meta(description="Grows with each change; an alert tells which one raised it.")]
    match_revision: Annotated[
        str, Meta(description="Changes only with what is looked for; alerts of one revision are the same ones.")
    ]
    streams: Streams
    keywords: Keywords
    regexes: Regexes
    all: All
    none: None_
    when: When
    severity: Severe
    destinations: Destinations
    cooldown_seconds: Cooldown
    group_seconds: Group
    enabled: Enabled


class RulePage(msgspec.Struct, kw_only=True):
    """Some of the rules, by name."""

    items: list[RuleView]
    next_cursor: Annotated[str | None, Meta(description="Pass it as `cursor` to read on; null on the last page.")]


SCHEMAS: Final = (RuleRequest, RuleChange, RuleView, RulePage)


def view_rule(rule: Rule, version: int) -> RuleView:
    """A rule as it is answered."""
    return RuleView(**msgspec.structs.asdict(rule), version=version, match_revision=match_revision(rule))
