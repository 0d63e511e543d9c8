"""What a batch comes to, whatever its records and rules do."""

from typing import Any

import msgspec
import pytest

from common.alerts import Alert, Erasure
from common.contracts import MAX_TEXT_BYTES, RecordB, Stream
from common.kafka.batches import Logged
from matching.matcher import CompileError, Matcher
from matching.regexes import RegexSetError
from matching.rules import Rule, VersionedRule
from signals.scan.rules_in_force import compiled
from signals.scan.scanning import scan

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def entry(offset: int, text: str, **fields: Any) -> Logged:
    known = {"id": f"b-{offset}", "a_id": "a", "number": 1.0, "event_time": 5, "ingested_at": 7}
    record = RecordB(text=text, **{**known, **fields})
    return Logged(offset, record.id.encode(), msgspec.json.encode(record), headers=(TRACE, ("other", b"x")))


def matcher(*rules: Rule) -> Matcher:
    return Matcher.compile([VersionedRule(rule, version) for version, rule in enumerate(rules)])


def test_every_message_is_counted_once() -> None:
    """As a record, an erasure or a refusal; the same text twice in a batch is one alert and two hits."""
    rules = matcher(Rule(name="refunds", keywords=("refund",)), Rule(name="now", keywords=("now",)))
    same = [entry(n, "refund now", id="b-1") for n in (0, 1)]
    scanned = scan(rules, Stream.B, [*same, entry(2, ""), Logged(3, b"b", None), Logged(4, b"b", b"{")], 9)
    assert (scanned.records, len(scanned.refusals)) == (3, 1)
    assert scanned.erased == [Erasure(stream=Stream.B, record_id="b", offset=3)]
    assert (len(scanned.alerts), scanned.hits) == (2, {"refunds": 2, "now": 2})
    assert [refusal.code for refusal in scanned.refusals] == ["undecodable"]
    assert {message.headers for message in map(as_tuple, scanned.alerts.values())} == {(TRACE,)}


def test_what_is_sent_again_behind_its_erasure_is_another_hit() -> None:
    """And what came before it in the same batch is told to nobody."""
    rules = matcher(Rule(name="refunds", keywords=("refund",)))
    same = [entry(n, "refund", id="b-1") for n in (0, 2, 3)]
    scanned = scan(rules, Stream.B, [same[0], Logged(1, b"b-1", None), *same[1:], entry(4, "refund", id="b-2")], 9)
    written = [msgspec.json.decode(message.value or b"", type=Alert).offset for message in scanned.alerts.values()]
    assert written == [2, 4]
    assert scanned.taken == 5


def as_tuple(message: Any) -> Any:
    return msgspec.structs.replace(message, headers=tuple(message.headers))


class Panic(BaseException):
    """As the engines' own language has them: no `Exception`."""


class Faulty:
    """A matcher that fails on some texts."""

    def match(self, _stream: Stream, record: RecordB) -> list[Any]:
        if "panic" in record.text:
            raise Panic("the engine")
        if "fault" in record.text:
            raise IndexError("ours")
        return []


def test_a_record_that_rules_fail_on_is_put_aside_and_stops_nobody() -> None:
    """With what went wrong, in no more than a thousand characters."""
    entries = [entry(0, "panic"), entry(1, "fine"), entry(2, "fault"), entry(3, "fine")]
    scanned = scan(Faulty(), Stream.B, entries, 9)  # type: ignore[arg-type]  # as a matcher that has a fault
    assert scanned.records == 2
    assert [(one.entry.offset, one.code) for one in scanned.refusals] == [(0, "scan_failed"), (2, "scan_failed")]
    assert scanned.refusals[0].detail == "The rules failed on it: Panic: the engine"


class GivesUp(Matcher):
    """Its set of regexes always gives up."""

    def match(self, stream: Stream, record: Any) -> list[Any]:  # noqa: ARG002  # as its parent has it
        raise RegexSetError("no memory")


def test_where_the_set_of_regexes_gives_up_each_is_looked_for_by_itself() -> None:
    """The answer is the same, and that it took longer is counted."""
    rules = [
        Rule(name="digits", regexes=("[0-9]{4}", "x+y")),
        Rule(name="both", keywords=("refund",), regexes=("(?i)order",)),
        Rule(name="none", regexes=("q",)),
    ]
    texts = ["order 4711 refund", "xxy", "nothing", "ORDER"]
    entries = [entry(n, text) for n, text in enumerate(texts)]
    usual = scan(matcher(*rules), Stream.B, entries, 9)
    slow = scan(GivesUp.compile([VersionedRule(r, n) for n, r in enumerate(rules)]), Stream.B, entries, 9)
    assert slow.alerts == usual.alerts
    assert len(usual.alerts) == 4
    assert (usual.slow, slow.slow) == (0, 4)


def test_an_alert_always_fits_into_a_message() -> None:
    """However much of the longest text was found by however many regexes: some spans are left out, never the first."""
    rule = Rule(name="greedy", regexes=tuple(f"(?s)\x01.{{{n}}}.*" for n in range(100)))
    raw = entry(0, "\x01" * MAX_TEXT_BYTES)
    (message,) = scan(matcher(rule), Stream.B, [raw], 9).alerts.values()
    assert message.value is not None
    alert = msgspec.json.decode(message.value, type=Alert)
    assert len(message.value) < 1024 * 1024
    assert 1 <= len(alert.matches) < 100
    assert bytes(alert.record) == raw.value


@pytest.mark.parametrize("field", [{"regexes": ("(",)}, {"when": "number >"}])
def test_the_rule_at_fault_is_named(field: dict[str, Any]) -> None:
    """Among many that are fine, whether it is a regex or a condition that does not compile."""
    fine = [Rule(name=f"fine-{n}", regexes=(f"x{n}",)) for n in range(20)]
    rules = [VersionedRule(rule, n) for n, rule in enumerate([*fine, Rule(name="broken", **field)])]
    with pytest.raises(CompileError) as caught:
        compiled(rules)
    assert caught.value.rule == "broken"
