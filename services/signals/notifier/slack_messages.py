"""Alerts as Slack shows them: Block Kit, within its limits, nothing cut without saying so. Pure.

What people wrote stands in rich text, which Slack takes literally: no `*`, `<!channel>` or link in it does anything.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from common.alerts import Severity, Span, StoredAlert
from common.deliveries import Delivery, DeliveryKind
from delivery.views import view_record

MAX_BLOCKS: Final = 50
MAX_CHARACTERS: Final = 3_000  # of a section, and of a rich text, for which Slack names none
MAX_MESSAGE_CHARACTERS: Final = 12_000  # of all blocks; Slack refuses more as too long
SHOWN: Final = 10  # alerts of a digest; of the others there are counts
EXCERPT: Final = 160  # characters of a text that a digest shows

_SIGNS: Final = {
    Severity.INFO: ":information_source:",
    Severity.WARNING: ":warning:",
    Severity.CRITICAL: ":rotating_light:",
}
_MARK: Final = {"bold": True, "code": True}
_ROOM: Final = 2  # blocks: for the part's number, and one to spare

Block = dict[str, Any]
Message = dict[str, Any]


def slack_messages(delivery: Delivery, alerts: Sequence[StoredAlert]) -> list[Message]:
    """The messages to post one after the other, as `{"text", "blocks"}`; most often one."""
    match delivery.kind:
        case DeliveryKind.ALERT:
            headline, blocks = _headline(alerts[0]), list(_alert(alerts[0]))
        case DeliveryKind.DIGEST:
            headline, blocks = _digest_headline(delivery), list(_digest(delivery, alerts))
        case DeliveryKind.TEST:
            headline = f":wave: Twinstream reaches you here, as {escaped(delivery.destination)}."
            blocks = [_section(headline)]
        case DeliveryKind.NOTICE:
            headline = f":no_entry: {escaped(delivery.text or delivery.detail or '')}"
            blocks = [_section(headline)]
    parts = list(_packed(blocks))
    return [_message(headline, part, number, len(parts)) for number, part in enumerate(parts, 1)]


def escaped(text: str) -> str:
    """`text` so that Slack's markup takes it for what it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _message(headline: str, blocks: Sequence[Block], number: int, of: int) -> Message:
    told = f"{headline} ({number} of {of})" if of > 1 else headline
    return {"text": told, "blocks": [*blocks, _context(f"part {number} of {of}")] if of > 1 else list(blocks)}


def _headline(alert: StoredAlert) -> str:
    return f"{_SIGNS[alert.severity]} *{escaped(alert.rule)}* ({alert.severity.value})"


def _alert(alert: StoredAlert) -> Iterator[Block]:
    yield _section(_headline(alert))
    record = view_record(alert)
    spans = [span for span in alert.matches if span.field == "text"]
    for piece in _pieces(_marked(record["text"], spans)):
        yield _rich(piece)
    yield from _contexts(_about(record, alert))
    others = [span for span in alert.matches if span.field != "text"]
    if others:
        yield from _contexts("also in " + ", ".join(f"{span.field}: {span.text}" for span in others))


def _about(record: dict[str, Any], alert: StoredAlert) -> str:
    parent = f" of A {record['Stream_A_unique_identifier']}" if "Stream_A_unique_identifier" in record else ""
    what = f"{alert.stream.upper()} {record['unique_identifier']}{parent}"
    return f"{what} | number {_plain(record['number'])} | {record['event_time']} | alert {alert.id}"


def _plain(number: float) -> str:
    """All of its digits, and none for a fraction that it has not."""
    return str(number).removesuffix(".0")


def _digest_headline(delivery: Delivery) -> str:
    parts = f", part {delivery.part} of {delivery.parts}" if delivery.parts > 1 else ""
    return f"{_SIGNS[delivery.severity]} *{delivery.total:,} alerts* in one digest{parts}"


def _digest(delivery: Delivery, alerts: Sequence[StoredAlert]) -> Iterator[Block]:
    yield _section(_digest_headline(delivery))
    counts = Counter((alert.rule, alert.severity) for alert in alerts)
    lines = [f"{_SIGNS[sev]} {escaped(rule)}: {count:,}" for (rule, sev), count in counts.most_common()]
    for text in _joined(lines):
        yield _section(text)
    for alert in alerts[:SHOWN]:
        record = view_record(alert)
        text, spans, about = record["text"], alert.matches, f"{alert.stream.upper()} {record['unique_identifier']}: "
        yield _rich([_element(about), *_excerpt(text, [span for span in spans if span.field == "text"])])
    left = len(alerts) - SHOWN
    if left > 0:
        yield _context(f"and {left:,} more: `twinstream deliveries list --message {delivery.id}`")


# --- texts with marks -------------------------------------------------------------------------------------------------


def _marked(text: str, spans: Iterable[Span]) -> Iterator[Block]:
    """`text` in elements, what matched marked; spans may overlap."""
    at = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        start, end = max(at, span.start), min(span.end, len(text))
        if end <= start:
            continue
        if start > at:
            yield _element(text[at:start])
        yield _element(text[start:end], _MARK)
        at = end
    if at < len(text):
        yield _element(text[at:])


def _excerpt(text: str, spans: Sequence[Span]) -> Iterator[Block]:
    """The beginning of `text`, or what surrounds its first match; says where it was cut."""
    first = min((span.start for span in spans), default=0)
    start = max(0, first - EXCERPT // 4)
    end = min(len(text), start + EXCERPT)
    if start:
        yield _element("… ")
    moved = [Span(s.field, max(0, s.start - start), min(s.end, end) - start, s.text, s.pattern) for s in spans]
    yield from _marked(text[start:end], moved)
    if end < len(text):
        yield _element(" …")


def _pieces(elements: Iterable[Block]) -> Iterator[list[Block]]:
    """`elements` in rich texts that are no longer than Slack takes; a long one is split, none is left out."""
    piece, size = list[Block](), 0
    for element in elements:
        for text in _chunks(element["text"]):
            if size + _units(text) > MAX_CHARACTERS:
                yield piece
                piece, size = [], 0
            piece.append({**element, "text": text})
            size += _units(text)
    if piece:
        yield piece


def _chunks(text: str) -> Iterator[str]:
    step = MAX_CHARACTERS // 2  # one character may count twice
    return (text[start : start + step] for start in range(0, len(text), step))


def _units(text: str) -> int:
    """The length of `text` as Slack may count it: UTF-16, the longer way."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines, as many together as a section takes."""
    text = ""
    for line in lines:
        if text and _units(text) + _units(line) + 1 > MAX_CHARACTERS:
            yield text
            text = ""
        text = f"{text}\n{line}" if text else line
    if text:
        yield text


# --- blocks -----------------------------------------------------------------------------------------------------------


def _packed(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks, as many together as a message takes."""
    packed, size = list[Block](), 0
    for block in blocks:
        its = _size(block)
        if packed and (len(packed) >= MAX_BLOCKS - _ROOM or size + its > MAX_MESSAGE_CHARACTERS):
            yield packed
            packed, size = [], 0
        packed.append(block)
        size += its
    if packed:
        yield packed


def _size(block: Block) -> int:
    if block["type"] == "rich_text":
        return sum(_units(element["text"]) for element in block["elements"][0]["elements"])
    text = block["text"] if block["type"] == "section" else block["elements"][0]
    return _units(text["text"])


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _rich(elements: Sequence[Block]) -> Block:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def _element(text: str, style: dict[str, bool] | None = None) -> Block:
    element: Block = {"type": "text", "text": text}
    return element if style is None else {**element, "style": style}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}


def _contexts(text: str) -> Iterator[Block]:
    """`text` in as many blocks as it takes: escaped piece by piece, so that none ends within an escape."""
    step = MAX_CHARACTERS // len("&amp;")
    return (_context(escaped(text[start : start + step])) for start in range(0, len(text), step))
