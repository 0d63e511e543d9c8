"""Who may call a route: API keys out of the control table, and tokens of an OIDC issuer, with scopes."""

from collections.abc import Collection
from typing import NamedTuple, Protocol

import structlog
from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase

from common.contracts import ApiKey, ControlKind, Scope
from common.errors import Refused
from common.kafka.control import ControlTable
from common.keys import key_id_of, verify

log = structlog.get_logger()


class Caller(NamedTuple):
    """Whose request it is: `id` is stable and secret to nobody, `name` is for people."""

    id: str
    name: str
    scopes: Collection[Scope]


class Tokens(Protocol):
    """Who knows the tokens of an issuer."""

    async def caller_of(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Refused: unauthenticated; says why.
        """
        ...


class Throttle(Protocol):
    """Who knows how much each caller may still ask for."""

    def admit(self, caller_id: str, size: int) -> None:
        """Count a request of `size` bytes.

        Raises:
            Refused: rate_limited.
        """
        ...


class Authenticator:
    """Recognises callers; revoked and unknown keys alike are nobody's."""

    def __init__(self, control: ControlTable, tokens: Tokens | None = None) -> None:
        self._control = control
        self._tokens = tokens

    async def caller_of(self, token: str) -> Caller:
        """Whose key or token it is.

        Raises:
            Refused: unauthenticated.
        """
        if self._tokens is not None and token.count(".") == 2:  # header, payload and signature; a key has no dot
            return await self._tokens.caller_of(token)
        key_id = key_id_of(token)
        entry = None if key_id is None else self._control.get(ControlKind.KEY, key_id, ApiKey)
        if entry is None or not verify(entry.value, token):
            raise Refused("unauthenticated", "The key is unknown or revoked.")
        return Caller(entry.value.id, entry.value.name, entry.value.scopes)


def requires(scope: Scope) -> "_Requires":
    """A dependency that lets a request through only for a caller with `scope`, and gives the caller.

    The app must carry its `Authenticator` in `app.state.authenticator`, and its `Throttle` or None in
    `app.state.throttle`.
    """
    return _Requires(scope)


class _Requires(SecurityBase):
    """One call, where FastAPI's own `HTTPBearer` would be another dependency to solve."""

    scheme_name = "HTTPBearer"
    model = HTTPBearer(description="An API key, as `twinstream keys create` makes one, or an issuer's token.").model

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        try:
            caller = await self._let_in(request)
        except Refused as error:
            host = request.client.host if request.client else None
            log.warning("access_refused", code=error.code, detail=error.detail, client=host)
            raise
        request.state.caller, request.state.scope = caller, self._scope
        throttle: Throttle | None = request.app.state.throttle
        if throttle is not None:
            throttle.admit(caller.id, _declared_size(request))
        return caller

    async def _let_in(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("unauthenticated", _no_key(scheme))
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.caller_of(token.strip())
        if self._scope not in caller.scopes:
            raise Refused("forbidden", f"The key {caller.name!r} lacks the scope {self._scope.value!r}.")
        return caller


def caller_of(request: Request) -> Caller:
    """Whom `requires` let through with `request`."""
    caller: Caller = request.state.caller
    return caller


def _declared_size(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def _no_key(scheme: str) -> str:
    if scheme and scheme.lower() != "bearer":
        return "The Authorization header holds another scheme: send `Authorization: Bearer <key>`."
    return "The request carries no key: send `Authorization: Bearer <key>`."
