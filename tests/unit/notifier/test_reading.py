"""What a batch of alerts and erasures comes to, whatever came in between."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from common.alerts import ERASURE_KEY, Alert, Erasure, Severity, erasure_keys
from common.contracts import RecordB, Stream, partition_of
from signals.notifier.reading import Read


def an_alert(offset: int, id_: str = "x", record_id: str = "b-1") -> Alert:
    record = RecordB(id=record_id, a_id="a", number=1.0, text="refund", event_time=5, ingested_at=7)
    return Alert(
        id=id_,
        rule="refunds",
        rule_version=1,
        match_revision="r",
        severity=Severity.INFO,
        stream=Stream.B,
        record=msgspec.Raw(msgspec.json.encode(record)),
        matches=(),
        destinations=(),
        cooldown_seconds=0,
        group_seconds=0,
        raised_at=1,
        offset=offset,
    )


def an_erasure(offset: int, record_id: str = "b-1", stream: Stream = Stream.B) -> Erasure:
    return Erasure(stream=stream, record_id=record_id, offset=offset)


def read(*messages: Alert | Erasure) -> Read:
    return Read.of([_entry(message) for message in messages])  # type: ignore[misc]  # as entries are


def _entry(message: Alert | Erasure) -> Any:
    key = message.id.encode() if isinstance(message, Alert) else ERASURE_KEY + b"0"
    return SimpleNamespace(key=key, value=msgspec.json.encode(message), offset=0)


@pytest.mark.parametrize(
    ("messages", "offset", "is_erased"),
    [
        ([an_alert(3), an_alert(5)], 3, False),
        ([an_alert(3), an_erasure(4)], 3, True),
        ([an_alert(3), an_erasure(4), an_alert(5)], 5, False),
        ([an_alert(5), an_erasure(4), an_alert(3)], 5, False),
        ([an_alert(3), an_alert(5), an_erasure(6)], 3, True),
        ([an_alert(3), an_erasure(6), an_erasure(4), an_alert(5)], 3, True),
        ([an_alert(3), an_erasure(4, "b-2"), an_erasure(4, stream=Stream.A)], 3, False),
        ([an_alert(-1), an_erasure(0)], -1, True),
    ],
)
def test_each_id_counts_once_and_what_was_sent_behind_its_erasure_first(
    messages: list[Alert | Erasure],
    offset: int,
    is_erased: bool,  # noqa: FBT001  # a column
) -> None:
    """An erasure takes what stands before it in the log of records, in whatever order both are read."""
    found = read(*messages)
    (alert,) = found.distinct().values()
    assert (alert.offset, found.erasure_of(alert) is not None) == (offset, is_erased)


def test_alerts_keep_their_order_and_what_is_none_stops_nobody() -> None:
    stranger = SimpleNamespace(key=b"?", value=b"{", offset=0)
    entries = [_entry(an_alert(1, "b")), stranger, _entry(an_alert(2, "a")), _entry(an_alert(3, "b"))]
    assert list(Read.of(entries).distinct()) == ["b", "a"]


@pytest.mark.parametrize("partitions", [1, 3, 24, 200])
def test_an_erasure_has_a_key_for_each_partition(partitions: int) -> None:
    keys = erasure_keys(partitions)
    assert [partition_of(key, partitions) for key in keys] == list(range(partitions))
    assert all(key.startswith(ERASURE_KEY) for key in keys)
