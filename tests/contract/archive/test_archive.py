"""What cannot be rebuilt is kept in a file and put back elsewhere, whatever version wrote it, to the last type."""

import asyncio
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from bson.int64 import Int64
from pymongo import AsyncMongoClient

from archive.archive import ArchiveSettings, backup, restore
from archive.control import RawControl
from archive.lines import check
from common.errors import TryLater
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings, MongoSettings

ENTRIES = [
    ("rule/refunds", b'{"name":"refunds","keywords":["refund"],"of_a_later_version":{"b":1,"a":2}}'),
    ("key/0123456789ab", b'{"id":"0123456789ab","secret_sha256":"00"}'),
    ("kind-of-later/x", b'{"l\xc3\xb6\xc3\x9f":1e400}'),
]
MOMENT = datetime(2126, 11, 26, 2, 0, 0, 123_000, tzinfo=UTC)
DOCUMENTS = {
    "alerts": [
        {"_id": "1", "state": "acknowledged", "acknowledged_at": Int64(5), "note": None, "expires": MOMENT},
        {"_id": "2", "state": "open", "matches": [{"start": 1, "text": "$refund"}], "number": 1.0},
    ],
    "deliveries": [{"_id": "1-ops", "tries": 3, "attempts": [{"at": Int64(2**40), "status": 200}], "expires": MOMENT}],
    "rejected": [{"_id": "t/0", "value": b"\x00\xff", "replay": {"by": "key", "first_us": Int64(7)}}],
    "analytics_saved": [{"_id": "top", "sql": "select 1", "saved_at": Int64(9)}],
}
REBUILT = {"a": [{"_id": "a-1", "text": "x"}], "positions": [{"_id": "records.a/0", "offset": Int64(3)}]}


@dataclass(frozen=True)
class Corner:
    """Topics and a database of its own."""

    settings: ArchiveSettings
    database: Any

    async def fill(self, entries: Any, documents: Any) -> None:
        control = RawControl(self.settings)
        await control.start()
        await control.put(entries)
        await control.stop()
        for name, some in documents.items():
            await self.database[name].insert_many([dict(one) for one in some])

    async def entries(self) -> list[tuple[str, bytes]]:
        control = RawControl(self.settings)
        await control.start()
        await control.stop()
        return list(control.entries().items())

    async def documents(self) -> dict[str, Any]:
        names = await self.database.list_collection_names()
        return {name: await self.database[name].find().sort("_id").to_list() for name in names}


@pytest_asyncio.fixture
async def corners(fresh_kafka: KafkaSettings, fresh_mongo: MongoSettings) -> AsyncIterator[tuple[Corner, Corner]]:
    """One that was, and an empty one."""
    name = f"test-{secrets.token_hex(4)}"
    there = fresh_kafka.model_copy(update={"topic_prefix": f"{name}."})
    await ensure_topics(there, partitions=1)
    uri = fresh_mongo.mongo_uri
    async with AsyncMongoClient[dict[str, Any]](uri.get_secret_value(), tz_aware=True) as client:
        yield tuple(
            Corner(ArchiveSettings(**{**kafka.model_dump(), "mongo_uri": uri, "mongo_database": one}), client[one])
            for kafka, one in ((fresh_kafka, fresh_mongo.mongo_database), (there, name))
        )


async def test_everything_comes_back_as_it_was(corners, tmp_path) -> None:
    """Entries to their bytes and in their order, documents to their types; what is rebuilt from the log stays out."""
    here, there = corners
    await here.fill(ENTRIES, {**DOCUMENTS, **REBUILT})
    held = await backup(here.settings, tmp_path / "kept", "0.1.0")
    assert held == {"control": 3, "alerts": 2, "deliveries": 1, "rejected": 1, "analytics_saved": 1}
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o600
    restored = await restore(there.settings, tmp_path / "kept")
    assert restored.put == restored.held == held
    assert await there.entries() == ENTRIES
    assert await there.documents() == DOCUMENTS
    again = await restore(there.settings, tmp_path / "kept")
    assert not +again.put
    assert await there.entries() == ENTRIES


async def test_more_than_a_page_comes_whole(corners, tmp_path, monkeypatch) -> None:
    """Each document once, whatever type its id has."""
    monkeypatch.setattr("archive.documents._PAGE", 2)
    here, _ = corners
    await here.fill([], {"alerts": [{"_id": str(n)} for n in range(5)]})
    assert await backup(here.settings, tmp_path / "kept", "0.1.0") == {"alerts": 5}
    assert check(tmp_path / "kept") == {"alerts": 5}


async def test_what_is_there_stays_as_it_is(corners, tmp_path) -> None:
    """A key that was revoked since, an alert that was resolved since: an old backup does not bring them back."""
    here, there = corners
    await here.fill(ENTRIES, DOCUMENTS)
    await backup(here.settings, tmp_path / "kept", "0.1.0")
    revoked, resolved = (ENTRIES[1][0], b'{"revoked_at":1}'), {"_id": "1", "state": "resolved"}
    await there.fill([revoked], {"alerts": [resolved]})
    restored = await restore(there.settings, tmp_path / "kept")
    assert (restored.put["control"], restored.put["alerts"]) == (2, 1)
    assert dict(await there.entries()) == dict([*ENTRIES, revoked])
    assert (await there.documents())["alerts"] == [resolved, DOCUMENTS["alerts"][1]]


async def test_a_backup_that_fails_leaves_the_former_one(corners, tmp_path) -> None:
    """And nothing beside it."""
    here, _ = corners
    (tmp_path / "kept").write_text("the former one")
    away = here.settings.model_copy(update={"mongo_uri": type(here.settings.mongo_uri)("mongodb://127.0.0.1:1/")})
    with pytest.raises(TryLater, match="MongoDB"):
        await backup(away.model_copy(update={"mongo_timeout_ms": 300}), tmp_path / "kept", "0.1.0")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "the former one"


async def test_the_command_says_what_it_did(corners, tmp_path) -> None:
    """By the addresses that services read."""
    here, there = corners
    await here.fill(ENTRIES, DOCUMENTS)
    kept = str(tmp_path / "kept")
    held = "3 of control, 2 of alerts, 1 of deliveries, 1 of rejected, 1 of analytics_saved"
    assert await said(here, "backup", kept) == (0, f"{kept} holds {held}.")
    status, told = await said(there, "restore", kept)
    assert (status, told.split(":")[0]) == (0, "Put back")


async def said(corner: Corner, *words: str) -> tuple[int, str]:
    settings = corner.settings
    environment = {
        **os.environ,
        "TWINSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "TWINSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TWINSTREAM_MONGO_URI": settings.mongo_uri.get_secret_value(),
        "TWINSTREAM_MONGO_DATABASE": settings.mongo_database,
    }
    command = [sys.executable, "-m", "twinstream", *words]
    ran = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, check=False, timeout=60, text=True
    )
    return ran.returncode, ran.stderr.strip()
