"""Cursors: where a page ended, signed, so that only our own come back and only for the walk they belong to. Pure."""

import binascii
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from common.errors import Refused
from query_api.signal_walks import AlertWalk, DeliveryWalk
from query_api.walks import JobWalk, Place, RejectedWalk, Walk

AnyWalk = Walk | RejectedWalk | AlertWalk | DeliveryWalk | JobWalk

T = TypeVar("T")

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 16


class Cursors:
    """Writes and reads cursors; all replicas share the secret, so any of them reads another's."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"twinstream/query-api/cursors", "sha256")

    def after(self, walk: AnyWalk, cursor: str | None) -> Place | None:
        """Where a page begins: at the place that `cursor` tells, or, without one, before all.

        Raises:
            Refused: invalid_cursor.
        """
        return None if cursor is None else self.read(walk, cursor)

    def cut(
        self, walk: AnyWalk, found: Sequence[T], limit: int, place: Callable[[T], Place]
    ) -> tuple[Sequence[T], str | None]:
        """A page out of what was found, and its next cursor: one more than `limit` tells that there is another page."""
        items = found[:limit]
        return items, self.write(walk, place(items[-1])) if len(found) > limit else None

    def write(self, walk: AnyWalk, place: Place) -> str:
        """A url-safe text: base64url(version | MAC over version, walk and place | place)."""
        written = msgspec.json.encode(place)
        return urlsafe_b64encode(_VERSION + self._mac(walk, written) + written).rstrip(b"=").decode()

    def read(self, walk: AnyWalk, cursor: str) -> Place:
        """The place that `write` was given.

        Raises:
            Refused: invalid_cursor: tampered with, another's, or made for another walk.
        """
        raw = _decoded(cursor)
        version, mac, written = raw[:1], raw[1 : 1 + _MAC_BYTES], raw[1 + _MAC_BYTES :]
        if version != _VERSION or not hmac.compare_digest(mac, self._mac(walk, written)):
            raise Refused(
                "invalid_cursor",
                "The cursor was changed, is not one of ours, or was given for another id, order or since: pass "
                "next_cursor on as it came, with the parameters of the page that it came with.",
            )
        return msgspec.json.decode(written, type=Place)

    def _mac(self, walk: AnyWalk, written: bytes) -> bytes:
        # A JSON array delimits its parts, so no two walks with their places read the same.
        signed = _VERSION + msgspec.json.encode((walk, written))
        return hmac.digest(self._key, signed, "sha256")[:_MAC_BYTES]


def _decoded(cursor: str) -> bytes:
    """The bytes of `cursor`, or none when it is not written as we write them: each cursor has one spelling."""
    try:
        raw = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if urlsafe_b64encode(raw).rstrip(b"=").decode() == cursor else b""
