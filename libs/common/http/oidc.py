"""Access tokens of an OIDC issuer: JWTs (RFC 9068) verified by the issuer's published keys. The only importer of jwt.

Only asymmetric algorithms are taken, whatever a token's header says. The keys are fetched when first needed, and
again when they are old or a token names one that is not among them, but never more often than every ten seconds.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import jwt
import structlog

from common.contracts import Scope
from common.errors import CannotStart, Refused
from common.http.auth import Caller
from common.settings import HttpSettings

log = structlog.get_logger()

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Final = frozenset([*_RSA, "ES256", "ES384", "ES512", "EdDSA"])
_MOST_CHARACTERS: Final = 16 * 1024
_MOST_BYTES: Final = 1024 * 1024
_PATIENCE_S: Final = 5.0
_FRESH_FOR_S: Final = 600.0
_AT_MOST_EVERY_S: Final = 10.0
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}

Document = Mapping[str, Any]


class IssuerTokens:
    """Verifies the tokens of one issuer."""

    def __init__(self, settings: HttpSettings, fetch: Callable[[str], Document] | None = None) -> None:
        self._settings = settings
        self._fetch = fetch or _fetch
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._tried_at, self._fetched_at = -_FRESH_FOR_S, -_FRESH_FOR_S
        self._fetching = asyncio.Lock()
        for url in (settings.oidc_issuer, settings.oidc_jwks_url):
            if url and not _is_safe(url):
                raise CannotStart(
                    f"{url!r} is no https address: an issuer's keys must not be open to change on their way"
                )

    async def caller_of(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Refused: unauthenticated; says why.
        """
        try:
            claims = await self._verified(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise Refused("unauthenticated", f"The token is not valid: {_reason(error)}.") from error
        subject = str(claims["sub"])
        digest = blake2b(f"{claims['iss']}\n{subject}".encode(), digest_size=8).hexdigest()
        return Caller(f"oidc-{digest}", subject[:256], self._scopes(claims))

    async def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > _MOST_CHARACTERS:
            raise jwt.InvalidTokenError("it is too long")
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in _ALGORITHMS:
            raise jwt.InvalidAlgorithmError("it is not signed by an algorithm that is taken here")
        key = await self._key(header.get("kid"))
        if key.algorithm_name not in _ALGORITHMS:
            raise jwt.InvalidKeyError("the issuer's key is not one to sign with")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=self._settings.oidc_issuer,
            audience=self._settings.oidc_audience,
            leeway=self._settings.oidc_leeway_s,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    async def _key(self, name: str | None) -> jwt.PyJWK:
        is_old = time.monotonic() - self._fetched_at > _FRESH_FOR_S
        if name not in self._keys or (is_old and not self._fetching.locked()):  # of an issuer that hangs, one waits
            await self._refresh(name)
        if name not in self._keys:
            raise jwt.InvalidKeyError("it names a key that the issuer has not published")
        return self._keys[name]

    async def _refresh(self, name: str | None) -> None:
        """Fetch the keys, unless someone just did; those that there are stay where that fails."""
        async with self._fetching:
            now = time.monotonic()
            if now - self._tried_at < _AT_MOST_EVERY_S:
                return
            self._tried_at = now
            try:
                self._keys = await asyncio.to_thread(self._published)
                self._fetched_at = now
            except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
                log.warning("issuer_keys_not_fetched", cause=repr(error), wanted=name, kept=len(self._keys))

    def _published(self) -> dict[str | None, jwt.PyJWK]:
        url = self._settings.oidc_jwks_url
        if not url:
            about = self._fetch(self._settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration")
            if about["issuer"] != self._settings.oidc_issuer or not _is_safe(about["jwks_uri"]):
                raise ValueError("the discovery document is another issuer's, or names no https address")
            url = about["jwks_uri"]
        keys = jwt.PyJWKSet.from_dict(dict(self._fetch(url))).keys
        named: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in keys}
        return named | {None: keys[0]} if len(keys) == 1 else named  # a token may leave out the name of the only one

    def _scopes(self, claims: Document) -> frozenset[Scope]:
        told = claims.get(self._settings.oidc_scope_claim, "")
        words = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        prefix = self._settings.oidc_scope_prefix
        return frozenset(scope for scope in Scope if prefix + scope.value in words)


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _fetch(url: str) -> Document:
    """The JSON object at `url`."""
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310  # _is_safe has seen it
    with urlopen(request, timeout=_PATIENCE_S, context=ssl.create_default_context()) as answer:  # noqa: S310
        content = answer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too large")
    document: Document = json.loads(content)
    return document


def _reason(error: Exception) -> str:
    """What to say of it: PyJWT's own words speak of claims and never hold any of the token."""
    return str(error).rstrip(".") if isinstance(error, jwt.PyJWTError) else "it is malformed"
