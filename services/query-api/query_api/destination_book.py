"""The destinations: made, changed and deleted, in control; their secrets sealed on the way in."""

import asyncio
from typing import Final, NamedTuple

import msgspec

from common.clock import Clock
from common.contracts import ControlKind
from common.destinations import Destination, DestinationKind
from common.errors import Refused
from common.kafka.control import ControlTable, Versioned
from common.sealing import Seal
from query_api.destination_checks import check, check_signing_secret, new_signing_secret
from query_api.destination_views import DestinationChange, DestinationRequest, Rotation

MAX_DESTINATIONS: Final = 200

_HOUR_MS: Final = 60 * 60 * 1000


class Made(NamedTuple):
    """A destination, and its signing secret where one was made."""

    entry: Versioned[Destination]
    secret: str | None


class DestinationBook:
    """All destinations that control knows."""

    def __init__(self, control: ControlTable, seal: Seal, clock: Clock, *, allow_loopback: bool) -> None:
        self._control = control
        self._seal = seal
        self._clock = clock
        self._allow_loopback = allow_loopback
        self._writing = asyncio.Lock()  # two requests must not both find a name free

    def all(self) -> list[Versioned[Destination]]:
        """Every destination, by name."""
        return sorted(self._control.of(Destination), key=lambda entry: entry.value.name)

    def names(self) -> frozenset[str]:
        """What rules may name."""
        return frozenset(entry.value.name for entry in self._control.of(Destination))

    def get(self, name: str) -> Versioned[Destination]:
        """The destination `name` and its version.

        Raises:
            Refused: unknown_destination.
        """
        entry = self._control.get(ControlKind.DESTINATION, name, Destination)
        if entry is None:
            raise Refused(
                "unknown_destination", f"There is no destination {name[:64]!r}; GET /v1/destinations lists them."
            )
        return entry

    async def make(self, wanted: DestinationRequest) -> Made:
        """A new destination.

        Raises:
            Refused: invalid_destination, destination_exists or too_many_destinations.
            TryLater: Kafka is away.
        """
        check(wanted.kind, wanted, first=True, allow_loopback=self._allow_loopback)
        secret, made = _secret_of(wanted.kind, wanted)
        async with self._writing:
            known = self.names()
            if wanted.name in known:
                raise Refused("destination_exists", f"There is a destination {wanted.name!r} already.")
            if len(known) >= MAX_DESTINATIONS:
                raise Refused(
                    "too_many_destinations", f"There are {MAX_DESTINATIONS} destinations, and no more can be."
                )
            now_ms = self._clock.now_ms()
            destination = Destination(
                name=wanted.name,
                kind=wanted.kind,
                secret=self._seal.seal(wanted.name, secret or ""),
                created_at=now_ms,
                changed_at=now_ms,
            )
            return Made(await self._write(_with(destination, wanted)), made)

    async def change(self, name: str, wanted: DestinationChange) -> Versioned[Destination]:
        """The destination as it is from now on: a new version, with which one that was given up begins anew.

        Raises:
            Refused: unknown_destination or invalid_destination.
            TryLater: Kafka is away.
        """
        async with self._writing:
            destination = self.get(name).value
            check(destination.kind, wanted, first=False, allow_loopback=self._allow_loopback)
            _check_way(destination, wanted)
            given = wanted.token or (wanted.url if destination.kind is DestinationKind.SLACK else wanted.secret)
            if given is not None:
                destination = msgspec.structs.replace(
                    destination, secret=self._seal.seal(name, given), former_secret=None, former_until=None
                )
            return await self._write(_with(destination, wanted))

    async def rotate(self, name: str, wanted: Rotation) -> Made:
        """The destination with a new signing secret; the former one signs beside it for a while.

        Raises:
            Refused: unknown_destination or invalid_destination.
            TryLater: Kafka is away.
        """
        if wanted.secret is not None:
            check_signing_secret(wanted.secret)
        async with self._writing:
            destination = self.get(name).value
            if destination.kind is not DestinationKind.WEBHOOK:
                error = {"at": "path.name", "detail": "Only a webhook has a signing secret."}
                raise Refused("invalid_destination", f"{error['at']}: {error['detail']}", errors=[error])
            secret = wanted.secret or new_signing_secret()
            rotated = msgspec.structs.replace(
                destination,
                secret=self._seal.seal(name, secret),
                former_secret=destination.secret,
                former_until=self._clock.now_ms() + round(wanted.keep_former_hours * _HOUR_MS),
            )
            return Made(await self._write(rotated), None if wanted.secret else secret)

    async def delete(self, name: str) -> Versioned[Destination]:
        """Delete the destination; returns what it was.

        Raises:
            Refused: unknown_destination.
            TryLater: Kafka is away.
        """
        async with self._writing:
            entry = self.get(name)
            await self._control.put(ControlKind.DESTINATION, name, None)
            return entry

    async def _write(self, destination: Destination) -> Versioned[Destination]:
        changed = msgspec.structs.replace(destination, changed_at=self._clock.now_ms())
        version = await self._control.put(ControlKind.DESTINATION, changed.name, changed)
        return Versioned(changed, version)


def _secret_of(kind: DestinationKind, wanted: DestinationRequest) -> tuple[str | None, str | None]:
    """What is secret about a new destination, and again where it was made here."""
    if kind is DestinationKind.SLACK:
        return wanted.token or wanted.url, None
    if wanted.secret is not None:
        return wanted.secret, None
    made = new_signing_secret()
    return made, made


def _check_way(destination: Destination, wanted: DestinationChange) -> None:
    """A Slack destination stays an app's or an incoming webhook: the secret that is kept is of that sort."""
    if destination.kind is not DestinationKind.SLACK:
        return
    if destination.channel is None and wanted.channel is not None and wanted.token is None:
        error = {"at": "body.token", "detail": "A channel needs the bot token of an app."}
        raise Refused("invalid_destination", f"{error['at']}: {error['detail']}", errors=[error])


def _with(destination: Destination, wanted: DestinationChange) -> Destination:
    """`destination` with all that is not secret as it is wanted."""
    webhook = destination.kind is DestinationKind.WEBHOOK
    channel = None if wanted.url is not None else wanted.channel or destination.channel
    return msgspec.structs.replace(
        destination,
        url=wanted.url if webhook else None,
        channel=None if webhook else channel,
        enabled=wanted.enabled,
        limit_per_hour=wanted.limit_per_hour,
        mute=wanted.mute,
        fallback=wanted.fallback,
    )
