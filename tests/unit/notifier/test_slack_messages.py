"""What Slack is sent: everything, marked, literal, and within its limits."""

import html
import re
import secrets
from typing import Any

import msgspec
import pytest

from common.alerts import Severity, Span, StoredAlert
from common.contracts import RecordB, Stream
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from signals.notifier.slack_messages import (
    MAX_BLOCKS,
    MAX_CHARACTERS,
    MAX_MESSAGE_CHARACTERS,
    SHOWN,
    escaped,
    slack_messages,
)

NOW = 1_795_420_800_000


def an_alert(text: str, *spans: tuple[int, int], rule: str = "refunds", **fields: Any) -> StoredAlert:
    number = fields.pop("number", 12.5)
    record = RecordB(id="b-1", a_id="a-1", number=number, text=text, event_time=NOW, ingested_at=NOW * 1000)
    known = {
        "id": secrets.token_hex(16),
        "rule": rule,
        "rule_version": 1,
        "match_revision": "r",
        "severity": Severity.WARNING,
        "stream": Stream.B,
        "record_id": "b-1",
        "a_id": "a-1",
        "record": msgspec.json.encode(record).decode(),
        "matches": tuple(Span("text", start, end, text[start:end], "?") for start, end in spans),
        "destinations": ("team",),
        "raised_at": NOW,
        "stored_at": NOW,
    }
    return StoredAlert(**{**known, **fields})


def a_delivery(kind: DeliveryKind = DeliveryKind.ALERT, **fields: Any) -> Delivery:
    known = {"id": "d", "kind": kind, "destination": "team", "state": DeliveryState.NEW, "created_at": NOW}
    return Delivery(**{**known, **fields})


def elements(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        element
        for block in message["blocks"]
        if block["type"] == "rich_text"
        for section in block["elements"]
        for element in section["elements"]
    ]


def test_matched_words_are_marked() -> None:
    """Overlapping matches once; what is around them as it stands."""
    (message,) = slack_messages(a_delivery(), [an_alert("my refund money back", (3, 9), (10, 20), (3, 15))])
    assert [(one["text"], "style" in one) for one in elements(message)] == [
        ("my ", False),
        ("refund money", True),
        (" back", True),
    ]
    assert message["text"] == ":warning: *refunds* (warning)"


@pytest.mark.parametrize("text", ["", "<!channel> *x* _y_ & <https://a|b>", "e\u0301 👩‍👩‍👧 שלום", "\n\n`"])
def test_texts_are_taken_literally_and_whole(text: str) -> None:
    """Rich text is no markup, so nothing in it does anything."""
    (message,) = slack_messages(a_delivery(), [an_alert(text)])
    assert "".join(one["text"] for one in elements(message)) == text
    assert "<!channel>" not in str([b for b in message["blocks"] if b["type"] != "rich_text"])


def test_what_stands_in_markup_is_escaped() -> None:
    """A rule's name is ours to show, not Slack's to obey."""
    assert escaped("<!here> & co") == "&lt;!here&gt; &amp; co"
    (message,) = slack_messages(a_delivery(), [an_alert("x", rule="a<b>&c")])
    assert message["text"] == ":warning: *a&lt;b&gt;&amp;c* (warning)"


def test_no_escape_is_cut_in_two() -> None:
    """However long what is escaped is."""
    found = "&<>" * 500
    (message,) = slack_messages(a_delivery(), [an_alert("", matches=(Span("note", 0, 1_500, found, "?"),))])
    contexts = [block["elements"][0]["text"] for block in message["blocks"] if block["type"] == "context"]
    assert "".join(map(html.unescape, contexts)).endswith(f"also in note: {found}")
    assert all(len(text) <= MAX_CHARACTERS and not re.search("&(?!amp;|lt;|gt;)", text) for text in contexts)
    assert len(contexts) > 2


@pytest.mark.parametrize("letter", ["a", "é", "👍", "ש"])
def test_a_long_text_is_split_and_not_cut(letter: str) -> None:
    """The longest that ingest takes, in as many messages as it needs, each within every limit."""
    text = letter * (64 * 1024 // len(letter.encode()))
    messages = slack_messages(a_delivery(), [an_alert(text, (10, 20))])
    shown = [one["text"] for message in messages for one in elements(message)]
    assert "".join(shown) == text
    for message in messages:
        assert len(message["blocks"]) <= MAX_BLOCKS
        units = [len(str(block).encode("utf-16-le")) // 2 for block in message["blocks"]]
        texts = [
            sum(len(e["text"].encode("utf-16-le")) // 2 for e in elements({"blocks": [b]})) for b in message["blocks"]
        ]
        assert max(texts) <= MAX_CHARACTERS
        assert sum(texts) <= MAX_MESSAGE_CHARACTERS
        assert units
    if len(messages) > 1:
        assert messages[0]["text"].endswith(f"(1 of {len(messages)})")


def test_a_digest_tells_exact_counts_and_what_it_does_not_show() -> None:
    """Counts by rule, the first few alerts, and where to find the others."""
    alerts = [an_alert(f"{'x' * 500} refund no. {n}", (501, 507)) for n in range(30)]
    alerts += [an_alert("leak", (0, 4), rule="leaks", severity=Severity.CRITICAL) for _ in range(7)]
    delivery = a_delivery(
        DeliveryKind.DIGEST, id="digest-1-team", severity=Severity.CRITICAL, total=37, members=("x",) * 37
    )
    (message,) = slack_messages(delivery, alerts)
    texts = [str(block) for block in message["blocks"]]
    assert message["text"] == ":rotating_light: *37 alerts* in one digest"
    assert "refunds: 30" in texts[1]
    assert "leaks: 7" in texts[1]
    assert sum("rich_text" in text for text in texts) == SHOWN
    assert f"and {37 - SHOWN} more: `twinstream deliveries list --message digest-1-team`" in texts[-1]
    first = "".join(one["text"] for one in elements({"blocks": [message["blocks"][2]]}))
    assert first.startswith("B b-1: … ")
    assert "refund no. 0" in first
    assert {one["text"] for one in elements(message) if "style" in one} == {"refund"}


def test_a_digest_of_very_many_rules_is_split() -> None:
    """Sections stay within their limit, and each rule is named."""
    alerts = [an_alert("x", rule=f"rule-{n:04}-{'y' * 50}") for n in range(1000)]
    messages = slack_messages(a_delivery(DeliveryKind.DIGEST, total=1000), alerts)
    told = str(messages)
    assert all(f"rule-{n:04}-" in told for n in range(1000))
    for message in messages:
        sections = [block["text"]["text"] for block in message["blocks"] if block["type"] == "section"]
        assert all(len(text) <= MAX_CHARACTERS for text in sections)


def test_a_trial_and_a_notice_are_told_in_words() -> None:
    """Without any alert."""
    (trial,) = slack_messages(a_delivery(DeliveryKind.TEST), [])
    (notice,) = slack_messages(a_delivery(DeliveryKind.NOTICE, detail="'ops' was given up: <gone>"), [])
    assert trial["text"] == ":wave: Twinstream reaches you here, as team."
    assert notice["text"] == ":no_entry: 'ops' was given up: &lt;gone&gt;"


@pytest.mark.parametrize(("number", "shown"), [(12_345_678.9, "12345678.9"), (100.0, "100"), (0.1, "0.1")])
def test_numbers_are_told_with_all_of_their_digits(number: float, shown: str) -> None:
    """None is rounded."""
    (message,) = slack_messages(a_delivery(), [an_alert("refund", number=number)])
    assert f"| number {shown} |" in message["blocks"][-1]["elements"][0]["text"]
