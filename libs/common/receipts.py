"""Receipts: how far the log stood once a request's records were in it; a string for clients, offsets for readers.

A receipt is opaque to clients: base64url of `{"v": 1, "at": {topic: {partition: offset}}}`, topics without prefix: of
records, and of what was refused of them.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from common.contracts import RECORDS, REJECTED
from common.errors import Refused

Offsets = Mapping[tuple[str, int], int]
"""The greatest offset written, by (topic without prefix, partition)."""

_TOPICS: Final = frozenset({*RECORDS.values(), REJECTED})
_MAX_CHARACTERS: Final = 64 * 1024

_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Receipt(msgspec.Struct, forbid_unknown_fields=True):
    v: Literal[1]
    at: dict[str, dict[_Natural, _Natural]]


def encode_receipt(offsets: Offsets) -> str:
    """A receipt for `offsets`, safe in a URL."""
    at: dict[str, dict[int, int]] = defaultdict(dict)
    for (topic, partition), offset in sorted(offsets.items()):
        at[topic][partition] = offset
    return urlsafe_b64encode(msgspec.json.encode(_Receipt(v=1, at=at))).decode().rstrip("=")


def decode_receipt(receipt: str) -> Offsets:
    """The offsets in a receipt.

    Raises:
        Refused: invalid_parameter; it is not one that `encode_receipt` made.
    """
    if len(receipt) > _MAX_CHARACTERS:
        raise _refused()
    try:
        padded = receipt + "=" * (-len(receipt) % 4)
        decoded = msgspec.json.decode(urlsafe_b64decode(padded.encode("ascii")), type=_Receipt)
    except (ValueError, msgspec.MsgspecError):
        raise _refused() from None
    if not decoded.at.keys() <= _TOPICS:
        raise _refused()
    return {
        (topic, partition): offset for topic, offsets in decoded.at.items() for partition, offset in offsets.items()
    }


def of_records(offsets: Offsets) -> Offsets:
    """As much of a receipt as is about records: who keeps nothing else waits for nothing else."""
    return {place: offset for place, offset in offsets.items() if place[0] != REJECTED}


def _refused() -> Refused:
    return Refused(
        "invalid_parameter", "The receipt is not one of ours: pass it on as the answer to a request gave it."
    )
