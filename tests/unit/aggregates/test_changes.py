"""What a partition's messages mean for a shard."""

import msgspec
import pytest

from aggregates.changes import Item, Move, by_shard, fold, last_ingested_ms, lua_string, pack, read
from aggregates.revisions import choose, none_yet
from common.contracts import Condition, RecordA, RecordB, Stream
from common.kafka.batches import Logged
from windows.layout import HOUR_MS, MINUTE_MS, Generation, Layout, unpack_head

NOW_MS = 1_795_420_800_000
HORIZON_MS = 6 * HOUR_MS


def b(record_id: str = "b", *, age_ms: int = 0, late_ms: int = 0, number: float = 1.0, text: str = "") -> RecordB:
    event_time = NOW_MS - age_ms
    return RecordB(
        id=record_id,
        a_id="a",
        number=number,
        text=text,
        event_time=event_time,
        ingested_at=(event_time + late_ms) * 1000,
    )


def items(*contents: RecordA | str) -> list[Item]:
    return [Item(n, content) for n, content in enumerate(contents)]


def folded(*contents: RecordA | str):
    return fold(items(*contents), horizon_ms=HORIZON_MS, oldest_ms=NOW_MS - HORIZON_MS)


def test_the_newest_version_stands_for_an_id_and_every_record_is_an_event() -> None:
    changes = folded(b(text="new"), b(age_ms=MINUTE_MS, text="old"), b("other"))
    assert {id_: newest.record.text for id_, newest in changes.newest.items()} == {"b": "new", "other": ""}
    assert dict(changes.panes()) == {
        f"m{NOW_MS // MINUTE_MS}": 2,
        f"m{NOW_MS // MINUTE_MS - 1}": 1,
        f"h{NOW_MS // HOUR_MS}": 2,
        f"h{NOW_MS // HOUR_MS - 1}": 1,
    }
    assert changes.folded == 1


def test_a_tombstone_voids_what_came_before_it_and_nothing_else() -> None:
    changes = folded(b("x"), "x", b("x", age_ms=5), "y")
    assert list(changes.erased) == ["x", "y"]
    assert changes.newest["x"].record.event_time == NOW_MS - 5
    assert changes.folded == 1
    assert changes.minutes.total() == 2


@pytest.mark.parametrize(
    ("age_ms", "late_ms", "late", "expired"),
    [
        (0, 0, 0, 0),
        (HORIZON_MS, HORIZON_MS, 0, 0),
        (HORIZON_MS + 1, HORIZON_MS + 1, 1, 1),
        (HORIZON_MS + 1, 0, 0, 1),  # it was in time, and is being read again much later
    ],
)
def test_what_is_beyond_the_horizon_is_left_out_and_told(age_ms: int, late_ms: int, late: int, expired: int) -> None:
    changes = folded(b(age_ms=age_ms, late_ms=late_ms))
    assert (changes.late_hours.total(), changes.expired) == (late, expired)
    assert len(changes.newest) == changes.minutes.total() == 1 - expired


def test_what_is_no_record_is_refused_and_the_rest_goes_on() -> None:
    good = msgspec.json.encode(b())
    found, refusals = read(
        Stream.B,
        [
            Logged(0, b"b", good),
            Logged(1, b"other", good),
            Logged(2, b"b", b"{"),
            Logged(3, None, None),
            Logged(4, b"\xff", None),
            Logged(5, b"b", None),
        ],
    )
    assert [item.offset for item in found] == [0, 5]
    assert [refusal.entry.offset for refusal in refusals] == [1, 2, 3, 4]
    assert {refusal.code for refusal in refusals} == {"undecodable"}


def test_every_id_has_one_shard() -> None:
    layout = Layout("", Stream.B, Generation(shards=5, partitions=1, horizon_ms=1))
    shards = by_shard(layout, items(*(b(f"b{n % 50}") for n in range(200)), "b7"))
    placed = [{item.content if isinstance(item.content, str) else item.content.id for item in one} for one in shards]
    assert sum(map(len, placed)) == len(set.union(*placed)) == 50
    assert all(placed)


def test_a_batch_is_packed_as_the_script_reads_it() -> None:
    revisions = choose(
        none_yet(Stream.B),
        control=9,
        newest={
            n: Condition(name=f"c{n}", stream=Stream.B, expression=expression, per_a=n == 5, created_at=1, changed_at=1)
            for n, expression in {8: "number > 1", 5: "number > 2", 7: "10 / int(number) > 1"}.items()
        },
        stored={},
        whole=(),
    )
    packed = pack(folded(b("x", number=0.0), b("y", number=3.0), "z"), revisions, Move(2, 10, 20))
    found = msgspec.msgpack.decode(packed.blob, type=dict[str, msgspec.Raw])
    assert dict(packed.failures) == {7: 1}
    assert msgspec.msgpack.decode(found["token"]) == "5,7,8"
    assert msgspec.msgpack.decode(found["per_a"]) == [5]
    assert msgspec.msgpack.decode(found["ids"]) == ["x", "y"]
    assert msgspec.msgpack.decode(found["erased"]) == ["z"]
    assert msgspec.msgpack.decode(found["combinations"]) == [[], [5, 7, 8]]
    assert msgspec.msgpack.decode(found["combination"]) == [1, 2]


@pytest.mark.parametrize("size", [0, 19, 255, 256, 65_535])
def test_bytes_travel_as_a_string(size: int) -> None:
    """Lua's decoder knows no binaries; the bytes must be as long as the header says."""
    packed = bytes(lua_string(b"\x41" * size))
    assert msgspec.msgpack.decode(packed) == "A" * size


def test_the_last_record_tells_how_far_the_log_is() -> None:
    assert last_ingested_ms(items(b(age_ms=5), b(age_ms=3), "x")) == NOW_MS - 3
    assert last_ingested_ms(items("x")) is None


def test_a_head_reads_back() -> None:
    changes = folded(b("x"))
    packed = pack(changes, none_yet(Stream.B), Move(0, 0, 1))
    heads = msgspec.msgpack.decode(
        msgspec.msgpack.decode(packed.blob, type=dict[str, msgspec.Raw])["heads"], type=list[msgspec.Raw]
    )
    assert unpack_head(bytes(heads[0])[2:]) == (changes.newest["x"].version, (), "a")
