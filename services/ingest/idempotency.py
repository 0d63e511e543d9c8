"""Idempotency keys, kept in Redis: a repeat of a request gets the first answer and writes nothing again.

A key is reserved before anything is published, together with the `ingested_at` that its records will carry. Whoever
takes over a reservation whose holder vanished publishes the same records with the same versions: a crash between the
write to Kafka and the answer doubles nothing in any store.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final, NamedTuple

import structlog
import zstandard
from redis.exceptions import RedisError

from common import metrics
from common.clock import Clock
from common.errors import Refused, TryLater
from common.settings import RedisSettings
from windows.connection import client_of
from windows.spans import CallSpans

log = structlog.get_logger()

KEPT_MS: Final = 24 * 60 * 60 * 1000
LEASE_MS: Final = 300_000  # longer than a request takes; who outlives it meets a successor that writes the same
MAX_KEY_CHARACTERS: Final = 255
# An answer to 100k refused records has 15 MB, compressed 0.2 MB. At worst, where each refusal repeats a random name,
# what is kept for a day is 5.7 MB of 26 MB: less than what was sent.
_ONE_SCRIPT: Final = [("EVALSHA",)]
_WORTH_IT: Final = 1024
_LARGE: Final = 256 * 1024  # compressed in a thread: up to here that takes less than a millisecond

# One key's hash: fingerprint, owner, lease (ms), ingested_at (µs), and once answered status, media_type, encoding and
# body.
_RESERVE: Final = """
local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'lease', 'ingested_at', 'status', 'media_type', 'encoding',
    'body', 'owner')
if not held[1] then
    redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'owner', ARGV[2], 'lease', ARGV[4], 'ingested_at', ARGV[5])
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
    return {'reserved', ARGV[5]}
end
if held[1] ~= ARGV[1] then return {'differs'} end
if held[4] then return {'answered', held[4], held[5], held[6], held[7]} end
-- Its own owner asks again where the answer was lost on its way.
if held[8] ~= ARGV[2] and tonumber(held[2]) > tonumber(ARGV[3]) then return {'in_flight'} end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'lease', ARGV[4])
return {'reserved', held[3]}
"""
_FINISH: Final = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'status', ARGV[2], 'media_type', ARGV[3], 'encoding', ARGV[4], 'body', ARGV[5])
"""
_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'lease', 0)
"""


class Keyed(NamedTuple):
    """A request that carries an idempotency key."""

    caller: str  # id of the API key: callers do not share keys
    key: str  # what came in the header
    fingerprint: str  # of everything that makes the request what it is
    first_us: int  # the `ingested_at` of its first record, unless an earlier attempt already chose another


class Reservation(NamedTuple):
    """The right to carry out a request."""

    name: str
    owner: str
    first_us: int  # the `ingested_at` that its first record must carry


class Given(NamedTuple):
    """What was answered to the first request under a key."""

    status: int
    media_type: str
    body: bytes


def fingerprint_of(stream: str, form: str, body: bytes) -> str:
    """Of a request: another stream, another form or another body make another one; compression does not."""
    digest = sha256(f"{stream} {form}\n".encode())
    digest.update(body)
    return digest.hexdigest()


class IdempotencyKeys:
    """Reserves keys and remembers answers for a day."""

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self._clock = clock
        self._prefix = settings.redis_prefix + "idempotency:"
        self._redis = client_of(settings)
        self._spans = CallSpans(settings)
        self._reserve = self._redis.register_script(_RESERVE)
        self._finish = self._redis.register_script(_FINISH)
        self._release = self._redis.register_script(_RELEASE)

    async def close(self) -> None:
        await self._redis.aclose()

    async def reserve(self, request: Keyed) -> Reservation | Given:
        """Reserve the key of `request`, or find what was answered to it.

        Raises:
            Refused: idempotency_key_invalid, idempotency_key_reused (another body) or idempotency_key_in_flight.
            TryLater: Redis is away, so nothing can be promised.
        """
        if not 0 < len(request.key) <= MAX_KEY_CHARACTERS:
            raise Refused("idempotency_key_invalid", f"Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} characters.")
        name, owner = f"{self._prefix}{request.caller}:{request.key}", secrets.token_hex(8)
        now = self._clock.now_ms()
        with metrics.store_call("ingest", "reserve"), _translated(), self._spans.round_trip(_ONE_SCRIPT):
            found = await self._reserve(
                keys=[name], args=[request.fingerprint, owner, now, now + LEASE_MS, request.first_us, KEPT_MS]
            )
        match found[0]:
            case b"reserved":
                return Reservation(name, owner, int(found[1]))
            case b"answered":
                return Given(int(found[1]), found[2].decode(), await _unpacked(found[3], found[4]))
            case b"differs":
                raise Refused("idempotency_key_reused", "Another request was sent under this Idempotency-Key.")
            case _:
                raise Refused("idempotency_key_in_flight", "A request under this Idempotency-Key is still in flight.")

    async def finish(self, reservation: Reservation, given: Given) -> None:
        """Remember the answer.

        That Redis went away meanwhile is no matter for the caller, whose request was carried out: a repeat after the
        lease writes the very same versions.
        """
        encoding, body = await _packed(given.body)
        forgiven = _forgiven("idempotency_answer_not_kept")
        with metrics.store_call("ingest", "finish"), forgiven, self._spans.round_trip(_ONE_SCRIPT):
            await self._finish(
                keys=[reservation.name], args=[reservation.owner, given.status, given.media_type, encoding, body]
            )

    async def release(self, reservation: Reservation) -> None:
        """Give the reservation up after a failure, so that a repeat need not wait for the lease to end."""
        forgiven = _forgiven("idempotency_key_not_released")
        with metrics.store_call("ingest", "release"), forgiven, self._spans.round_trip(_ONE_SCRIPT):
            await self._release(keys=[reservation.name], args=[reservation.owner])


async def _packed(body: bytes) -> tuple[str, bytes]:
    """An answer's body as it is kept, and how."""
    if len(body) < _WORTH_IT:
        return "", body
    compress = zstandard.ZstdCompressor().compress
    return "zstd", await asyncio.to_thread(compress, body) if len(body) > _LARGE else compress(body)


async def _unpacked(encoding: bytes, body: bytes) -> bytes:
    if encoding != b"zstd":
        return bytes(body)
    decompress = zstandard.ZstdDecompressor().decompress
    return await asyncio.to_thread(decompress, body) if len(body) > _LARGE else decompress(body)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise TryLater(f"Redis, which keeps idempotency keys, is away ({type(error).__name__})") from error


@contextmanager
def _forgiven(event: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        log.warning(event, detail=repr(error))
