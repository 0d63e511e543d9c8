"""What a deployment needs once before its services start: topics and the first key. Doing it again changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from common.clock import SystemClock
from common.contracts import ApiKey, ControlKind, Scope
from common.errors import CannotStart
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.keys import TOKEN_FORM, given_key, key_id_of, make_key, verify
from common.settings import KafkaSettings

FIRST_KEY_NAME: Final = "first key"


async def ensure_first_key(settings: KafkaSettings, path: Path) -> bool:
    """Make sure `path` holds a key in force with every scope; returns whether one was made.

    A file whose key the log does not know (a log that was reset, a file that was copied) is replaced.
    """
    async with _control(settings) as control:
        if _in_force(control, _read(path)):
            return False
        key, token = make_key(FIRST_KEY_NAME, list(Scope), SystemClock().now_ms())
        await control.put(ControlKind.KEY, key.id, key)
        _write_private(path, token + "\n")
        return True


async def ensure_given_key(settings: KafkaSettings, token: str) -> bool:
    """Make sure that `token` is a key in force with every scope; returns whether it was made one.

    For deployments that keep their secrets elsewhere and hand them in.

    Raises:
        CannotStart: it has not the form and length of a key, or it was revoked.
    """
    given = given_key(FIRST_KEY_NAME, list(Scope), SystemClock().now_ms(), token)
    if given is None:
        raise CannotStart(f"the key that was given is none: {TOKEN_FORM}")
    async with _control(settings) as control:
        known = control.get(ControlKind.KEY, given.id, ApiKey)
        if known is None:
            await control.put(ControlKind.KEY, given.id, given)
        elif not verify(known.value, token):
            raise CannotStart("the key that was given is revoked, or another has its id: give a fresh one")
        return known is None


@asynccontextmanager
async def _control(settings: KafkaSettings) -> AsyncIterator[ControlTable]:
    """The control table, read to its end."""
    producer = Producer(settings)
    await producer.start()
    control = ControlTable(settings, producer, SystemClock())
    try:
        await control.start()
        yield control
    finally:
        await control.stop()
        await producer.stop()


def _in_force(control: ControlTable, token: str) -> bool:
    key_id = key_id_of(token)
    entry = None if key_id is None else control.get(ControlKind.KEY, key_id, ApiKey)
    return entry is not None and verify(entry.value, token)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""


def _write_private(path: Path, text: str) -> None:
    """Write so that only this user can read, not even for a moment otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="ascii")
