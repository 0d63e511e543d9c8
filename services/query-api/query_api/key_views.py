"""API keys as they are asked for and answered. OpenAPI's schemas come from here too."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.contracts import CONTROL_CHARACTERS, ApiKey, Scope
from common.instants import rfc3339_ms

_TIME: Final = {"format": "date-time"}

Id = Annotated[str, Meta(description="The second part of its token.", examples=["3f9a1c5be27d"])]
Name = Annotated[
    str,
    Meta(
        description="For people, to tell keys apart; it need not be unique.",
        min_length=1,
        max_length=100,
        pattern=f"^[^{CONTROL_CHARACTERS}]+$",
        examples=["loader of the shop"],
    ),
]
Scopes = Annotated[
    tuple[Scope, ...],
    Meta(description="What it may do; `admin` manages keys and does not imply the others.", min_length=1),
]
CreatedAt = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]
RevokedAt = Annotated[str | None, Meta(description="Null while it is in force.", extra_json_schema=_TIME)]


class KeyRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Name
    scopes: Scopes


class Key(msgspec.Struct, kw_only=True):
    """A key; its secret cannot be read back."""

    id: Id
    name: Name
    scopes: Scopes
    created_at: CreatedAt
    revoked_at: RevokedAt


class NewKey(Key, kw_only=True):
    """A key that was just made, with its token: this is the only time that it is shown."""

    key: Annotated[str, Meta(description="What to send as `Authorization: Bearer …`.")]


class KeyPage(msgspec.Struct, kw_only=True):
    """All keys, the oldest first."""

    items: list[Key]
    next_cursor: None


SCHEMAS: Final = (KeyRequest, Key, NewKey, KeyPage)


def view_key(key: ApiKey) -> Key:
    """A key as it is answered."""
    return Key(
        id=key.id,
        name=key.name,
        scopes=key.scopes,
        created_at=rfc3339_ms(key.created_at),
        revoked_at=None if key.revoked_at is None else rfc3339_ms(key.revoked_at),
    )


def view_new_key(key: ApiKey, token: str) -> NewKey:
    """A key that was just made, as it is answered."""
    return NewKey(**msgspec.structs.asdict(view_key(key)), key=token)
