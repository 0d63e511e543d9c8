"""The API keys: made, listed and revoked, in control. A revoked key stays listed, so that one sees what once was."""

import asyncio
from collections.abc import Collection

import msgspec

from common.clock import Clock
from common.contracts import ApiKey, ControlKind, Scope
from common.errors import Refused
from common.kafka.control import ControlTable
from common.keys import make_key


class KeyRing:
    """All keys that control knows."""

    def __init__(self, control: ControlTable, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        # Two requests must not each revoke one of the last two admin keys. Two replicas in the same moment still may;
        # `twinstream init` then makes a new first key.
        self._revoking = asyncio.Lock()

    def all(self) -> list[ApiKey]:
        """Every key, the oldest first, revoked ones included."""
        return sorted((entry.value for entry in self._control.of(ApiKey)), key=lambda key: (key.created_at, key.id))

    def get(self, key_id: str) -> ApiKey:
        """The key `key_id`.

        Raises:
            Refused: not_found.
        """
        entry = self._control.get(ControlKind.KEY, key_id, ApiKey)
        if entry is None:
            raise Refused("not_found", f"There is no key with the id {key_id[:64]!r}; GET /v1/keys lists them.")
        return entry.value

    async def make(self, name: str, scopes: Collection[Scope]) -> tuple[ApiKey, str]:
        """A new key, in force in this process, and its token, which nobody can read again.

        Raises:
            TryLater: Kafka is away; the key may still come into being, but its token is lost.
        """
        key, token = make_key(name, scopes, self._clock.now_ms())
        await self._control.put(ControlKind.KEY, key.id, key)
        return key, token

    async def revoke(self, key_id: str) -> ApiKey:
        """The key, now revoked; a second time changes nothing.

        Raises:
            Refused: not_found, or last_admin_key when nobody could manage keys any more.
            TryLater: Kafka is away.
        """
        async with self._revoking:
            key = self.get(key_id)
            if key.revoked_at is not None:
                return key
            if self._is_last_admin(key):
                raise Refused("last_admin_key", f"The key {key.name!r} is the last one in force with the scope admin.")
            revoked = msgspec.structs.replace(key, revoked_at=self._clock.now_ms())
            await self._control.put(ControlKind.KEY, key_id, revoked)
            return revoked

    def _is_last_admin(self, key: ApiKey) -> bool:
        admins = [one.id for one in self.all() if Scope.ADMIN in one.scopes and one.revoked_at is None]
        return admins == [key.id]
