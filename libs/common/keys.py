"""API keys: how one is made, shown once, kept as a hash and verified."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from typing import Final

from common.contracts import ApiKey, Scope

_PREFIX: Final = "tsk"
_TOKEN: Final = re.compile(rf"{_PREFIX}_([0-9a-f]{{12}})_([0-9a-f]{{64,128}})")
TOKEN_FORM: Final = f"a key reads {_PREFIX}_<12 hex digits>_<64 hex digits>, all of them random"


def make_key(name: str, scopes: Collection[Scope], now_ms: int) -> tuple[ApiKey, str]:
    """A new key and its token `tsk_<id>_<secret>`, which is shown once and never kept.

    The secret has 256 random bits, so a plain SHA-256 is as good as a slow hash: there is nothing to guess.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    key = ApiKey(
        id=key_id, name=name, scopes=tuple(sorted(set(scopes))), secret_sha256=_digest(secret), created_at=now_ms
    )
    return key, f"{_PREFIX}_{key_id}_{secret}"


def given_key(name: str, scopes: Collection[Scope], now_ms: int, token: str) -> ApiKey | None:
    """The key of a token that was made elsewhere, or None when it is not as long and as hexadecimal as ours are."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    return ApiKey(
        id=match[1],
        name=name,
        scopes=tuple(sorted(set(scopes))),
        secret_sha256=_digest(match[2]),
        created_at=now_ms,
    )


def key_id_of(token: str) -> str | None:
    """The id within a token, or None when it does not have a token's form."""
    parts = token.split("_")
    return parts[1] if len(parts) == 3 and parts[0] == _PREFIX else None  # prefix, id, secret


def verify(key: ApiKey, token: str) -> bool:
    """Whether `token` is this key's, compared in constant time, and the key is not revoked."""
    secret = token.rpartition("_")[2]
    return hmac.compare_digest(_digest(secret), key.secret_sha256) and key.revoked_at is None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
