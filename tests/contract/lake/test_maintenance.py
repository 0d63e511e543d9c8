"""The latest, the fresh views and the log say the same whatever maintenance does in between."""

import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from common.contracts import Stream
from common.errors import Refused, TryLater
from lake.maintenance.expiry import Keep
from twinstream_lake.engine import Engine
from twinstream_lake.pins import pin
from twinstream_lake.views import views

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ENGINE = Engine(256)


def test_an_empty_lake_reads_as_empty(history) -> None:
    """Before the first commit every view is there, with its columns and no row."""
    assert [history.seen(view) for view in ("b", "b_latest")] == [{}, {}]
    assert history.latest.rebuild(Stream.B) is None
    assert history.compact() is None


def test_the_greatest_version_is_seen_at_once(history) -> None:
    """In the fresh view; the latest has it after its rebuild."""
    history.say("x", text="new", event_time=9)
    history.say("x", text="late", event_time=3)
    history.say("y")
    history.write()
    assert history.seen("b") == history.expected()
    assert history.seen("b")["x"] == ("new", 1.0, history.expected()["x"][2], 3)
    assert history.seen("b_latest") == {}
    history.latest.rebuild(Stream.B)
    assert history.seen("b_latest") == history.seen("b") == history.expected()
    assert history.latest.rebuild(Stream.B) is None


def test_a_late_version_lowers_first_seen_alone(history) -> None:
    """Also where the latest holds the greater one."""
    history.say("x", text="new", event_time=9)
    history.write()
    history.latest.rebuild(Stream.B)
    history.say("x", text="late", event_time=2)
    history.write()
    assert history.seen("b") == history.expected()
    assert history.seen("b")["x"][3] == 2


def test_an_erased_id_is_gone_and_may_begin_anew(history) -> None:
    """From the fresh view at once, from the latest at its rebuild; what comes after the tombstone counts."""
    for record_id in ("x", "y", "z"):
        history.say(record_id, event_time=3)
    history.write()
    history.latest.rebuild(Stream.B)
    history.erase("x")
    history.erase("y")
    history.say("y", text="anew", event_time=1)
    history.write()
    assert history.seen("b") == history.expected()
    assert set(history.seen("b")) == {"y", "z"}
    history.latest.rebuild(Stream.B)
    assert history.seen("b_latest") == history.expected()


def test_compaction_leaves_one_file_per_day_and_every_row(history) -> None:
    for day in range(3):
        for n in range(4):
            history.say(f"x{n}", number=float(day))
            history.write()
        history.now_ms += DAY_MS
    rows = history.lake.rows()
    done = history.compact()
    assert (done.files_before, done.files_after, done.rows_dropped) == (12, 3, 0)
    assert history.lake.rows() == rows
    assert history.compact() is None


def test_a_day_that_is_not_over_keeps_a_few_small_files(history) -> None:
    """One more than it may have, and they become one."""
    for n in range(3):
        history.say(f"x{n}")
        history.write()
        assert (history.compact() is None) is (n < 2)
    assert len(pin(history.lake.catalog, Stream.B).log.files) == 1


def test_erased_ids_leave_no_row_and_in_the_end_no_file(history) -> None:
    """Void rows go at the next compaction, the tombstone once the latest knows of it, the bytes with the expiry."""
    history.say("secret-id", text="a secret")
    history.say("other")
    history.write()
    history.latest.rebuild(Stream.B)
    history.erase("secret-id")
    history.write()
    assert history.compact().rows_dropped == 1
    assert [row["erased"] for row in history.lake.rows() if row["unique_identifier"] == "secret-id"] == [True]
    history.latest.rebuild(Stream.B)
    assert history.compact(hours=2).rows_dropped == 1
    for table in ("b_log", "b_latest"):
        history.expire(table)
    assert history.seen("b") == history.seen("b_latest") == history.expected()
    folder = Path(history.lake.settings.lake_warehouse)
    left = [path.name for path in folder.rglob("*") if path.is_file() and b"secret-id" in path.read_bytes()]
    assert left == []


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_any_history_reads_the_same_whatever_maintenance_does(history, seed) -> None:
    """Versions and tombstones in any order, rebuilt, compacted and expired at any moment: as `documents` has it."""
    chance = random.Random(seed)
    chores = [
        lambda: history.latest.rebuild(Stream.B),
        lambda: history.compact(hours=chance.choice([0, 2, 30])),
        lambda: history.expire("b_log"),
        lambda: history.expire("b_latest"),
    ]
    for _ in range(10):
        for _ in range(chance.randint(1, 40)):
            record_id = f"id-{chance.randint(0, 60)}"
            if chance.random() < 0.1:
                history.erase(record_id)
            else:
                history.say(record_id, text=f"{chance.random()}", event_time=chance.randint(1, 20))
        history.now_ms += chance.choice([0, HOUR_MS, DAY_MS])
        history.write()
        for chore in chance.sample(chores, 2):
            chore()
        assert history.seen("b") == history.expected()
    history.latest.rebuild(Stream.B)
    assert history.seen("b_latest") == history.expected()


def test_the_latest_is_sorted_by_id_over_all_its_shards(history) -> None:
    """More ids than a shard may have; readers prune by id."""
    for n in range(100):
        history.say(f"id-{n:03}")
    history.write()
    history.latest.rebuild(Stream.B)  # the first has no former one to tell how many shards it takes
    history.say("id-1005")
    history.write()
    history.latest.rebuild(Stream.B)
    query = views({Stream.B: pin(history.lake.catalog, Stream.B)})["b_latest"]
    ids = [row[0] for row in ENGINE.rows(f"SELECT unique_identifier FROM ({query})")]
    assert (len(ids), ids) == (101, sorted(ids))


def test_expiry_deletes_what_nothing_refers_to(history) -> None:
    """Files of snapshots that are gone, and of writers that died before their commit; what is read still is not."""
    for n in range(6):
        history.say(f"x{n}")
        history.write()
    history.compact()
    folder = Path(history.lake.catalog.load("b_log").location())
    (folder / "data" / "of-a-dead-writer.parquet").write_bytes(b"PAR1")
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = history.expire("b_log")
    after = {path for path in folder.rglob("*") if path.is_file()}
    assert done.snapshots == 6
    assert len(before - after) == done.files
    assert {path.suffix for path in after - before} == {".json"}
    assert len([path for path in after if path.suffix == ".parquet"]) == 1
    assert history.seen("b") == history.expected()


def test_nothing_goes_within_the_grace(history) -> None:
    """A commit or a query that is under way may need it."""
    for n in range(4):
        history.say(f"x{n}")
        history.write()
    pinned = pin(history.lake.catalog, Stream.B)
    history.compact()
    folder = Path(history.lake.catalog.load("b_log").location())
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = history.expire("b_log", Keep(age_ms=0, snapshots=1, grace_ms=HOUR_MS))
    assert (done.snapshots, done.files) == (0, 0)
    assert before <= {path for path in folder.rglob("*") if path.is_file()}
    assert all(Path(path).exists() for path in pinned.log.files)


def test_a_pinned_state_reads_the_same_later(history) -> None:
    """By its snapshots; once they have expired that is said."""
    history.say("x", text="old")
    history.write()
    history.latest.rebuild(Stream.B)
    then = pin(history.lake.catalog, Stream.B)
    snapshots = {"b_log": then.log.snapshot, "b_latest": then.latest.snapshot}
    before = history.seen("b")
    history.say("x", text="new", event_time=9)
    history.write()
    history.latest.rebuild(Stream.B)
    assert history.seen("b", snapshots) == before != history.seen("b")
    history.expire("b_log")
    with pytest.raises(Refused, match="has expired"):
        history.seen("b", snapshots)


def test_writer_and_readers_go_on_while_files_are_exchanged(history) -> None:
    """All commit to one table and read it all the time; each row is there once at any moment."""
    over = threading.Event()
    done: list[Any] = []

    def tend() -> None:
        while not over.is_set():
            with suppress(TryLater):  # the writer was faster for too long
                done.append(history.compact())
            history.latest.rebuild(Stream.B)

    tending = threading.Thread(target=tend)
    tending.start()
    try:
        for n in range(12):
            history.say(f"x{n}")
            history.write()
            assert len(history.lake.rows()) == n + 1
            assert len(history.seen("b")) == n + 1
    finally:
        over.set()
        tending.join()
    assert [one for one in done if one is not None]
    assert history.seen("b") == history.expected()
