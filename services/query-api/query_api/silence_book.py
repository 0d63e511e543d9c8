"""The silences: made and ended, in control."""

import secrets
from typing import Final

from common.clock import Clock
from common.contracts import ControlKind
from common.destinations import Silence
from common.errors import Refused
from common.kafka.control import ControlTable
from query_api.destination_views import SilenceRequest
from query_api.instants import parse_instant

MAX_SILENCES: Final = 1_000

_MINUTE_MS: Final = 60_000


class SilenceBook:
    """All silences that control knows; those that are over make room for new ones, the longest over first."""

    def __init__(self, control: ControlTable, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def all(self) -> list[Silence]:
        """Every silence, the last to end first."""
        found = (entry.value for entry in self._control.of(Silence))
        return sorted(found, key=lambda silence: (-silence.ends_at, silence.id))

    def get(self, silence_id: str) -> Silence:
        """The silence `silence_id`.

        Raises:
            Refused: not_found.
        """
        entry = self._control.get(ControlKind.SILENCE, silence_id, Silence)
        if entry is None:
            raise Refused("not_found", f"There is no silence {silence_id[:64]!r}; GET /v1/silences lists them.")
        return entry.value

    async def make(self, wanted: SilenceRequest) -> Silence:
        """A new silence.

        Raises:
            Refused: invalid_body or too_many_silences.
            TryLater: Kafka is away.
        """
        now_ms = self._clock.now_ms()
        starts_at = now_ms if wanted.starts_at is None else _moment(wanted.starts_at, "starts_at")
        silence = Silence(
            id=secrets.token_hex(6),
            rule=wanted.rule,
            severity=wanted.severity,
            destination=wanted.destination,
            stream=wanted.stream,
            a_id=wanted.a_id,
            starts_at=starts_at,
            ends_at=_end(wanted, starts_at, now_ms),
            comment=wanted.comment,
            created_at=now_ms,
        )
        await self._make_room(now_ms)
        await self._control.put(ControlKind.SILENCE, silence.id, silence)
        return silence

    async def _make_room(self, now_ms: int) -> None:
        while len(known := self.all()) >= MAX_SILENCES:
            last = known[-1]
            if last.ends_at > now_ms:
                raise Refused(
                    "too_many_silences", f"There are {MAX_SILENCES:,} silences to come or in force: end some."
                )
            await self._control.put(ControlKind.SILENCE, last.id, None)

    async def delete(self, silence_id: str) -> Silence:
        """End the silence; returns what it was.

        Raises:
            Refused: not_found.
            TryLater: Kafka is away.
        """
        silence = self.get(silence_id)
        await self._control.put(ControlKind.SILENCE, silence_id, None)
        return silence


def _end(wanted: SilenceRequest, starts_at: int, now_ms: int) -> int:
    if (wanted.ends_at is None) == (wanted.minutes is None):
        raise _misfit("body", "Give `ends_at` or `minutes`, one of them.")
    if wanted.ends_at is not None:
        ends_at = _moment(wanted.ends_at, "ends_at")
    else:
        ends_at = starts_at + round((wanted.minutes or 0) * _MINUTE_MS)
    if ends_at <= max(starts_at, now_ms):
        raise _misfit("body.ends_at", "It ends before it begins, or is over already.")
    return ends_at


def _moment(raw: str, name: str) -> int:
    try:
        return parse_instant(raw, f"body.{name}")
    except Refused as refused:
        raise _misfit(f"body.{name}", refused.detail) from None


def _misfit(at: str, detail: str) -> Refused:
    return Refused("invalid_body", f"{at}: {detail}", errors=[{"at": at, "detail": detail}])
