"""Digests out of the deliveries that waited for one. Pure."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from common.alerts import Severity
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.destinations import DestinationKind

_SEVERITIES: Final = tuple(Severity)
_LARGEST: Final = {DestinationKind.WEBHOOK: 100, DestinationKind.SLACK: 1_000}  # Slack is told counts and a few
_LARGEST_BYTES: Final = 512 * 1024  # of a webhook's body: receivers take a megabyte by default, some with escapes


def digests(held: Sequence[Delivery], kind: DestinationKind, now_ms: int) -> list[Delivery]:
    """The messages that `held`, in their order, leave in; each goes by its first member's name, whenever it is made."""
    parts = list(_cut(held, kind))
    return [_digest(part, number, len(parts), len(held), now_ms) for number, part in enumerate(parts, 1)]


def as_members(digest: Delivery, held: Sequence[Delivery], now_ms: int) -> list[Delivery]:
    """Those of `held` that are in `digest`, as they are from now on; one that was settled already settles them too."""
    members = set(digest.members)
    return [
        msgspec.structs.replace(
            one,
            state=DeliveryState.DIGESTED if digest.due_at is not None else digest.state,
            message=digest.id,
            was_part_of=digest.id,
            left_at=now_ms,
            delivered_at=digest.delivered_at,
            detail=digest.detail,
            due_at=None,
            claimed_by=None,
            claimed_until=0,
        )
        for one in held
        if one.alert in members
    ]


def _cut(held: Sequence[Delivery], kind: DestinationKind) -> Iterator[Sequence[Delivery]]:
    most, part, size = _LARGEST[kind], list[Delivery](), 0
    for one in held:
        is_full = kind is DestinationKind.WEBHOOK and size + one.size > _LARGEST_BYTES
        if part and (is_full or len(part) == most):
            yield part
            part, size = [], 0
        part.append(one)
        size += one.size
    if part:
        yield part


def _digest(held: Sequence[Delivery], part: int, parts: int, total: int, now_ms: int) -> Delivery:
    first = held[0]
    return Delivery(
        id=f"digest-{blake2b(first.id.encode(), digest_size=16).hexdigest()}-{first.destination}",
        kind=DeliveryKind.DIGEST,
        destination=first.destination,
        state=DeliveryState.PENDING,
        created_at=now_ms,
        due_at=now_ms,
        severity=max((one.severity for one in held), key=_SEVERITIES.index),
        left_at=now_ms,
        members=tuple(one.alert for one in held if one.alert is not None),
        part=part,
        parts=parts,
        total=total,
        claimed_by=first.claimed_by,
        claimed_until=first.claimed_until,
        expires=first.expires,
    )
