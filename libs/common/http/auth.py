"""Who may call a route: API keys out of the control table, with scopes."""

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase

from common.contracts import ApiKey, ControlKind, Scope
from common.errors import Refused
from common.kafka.control import ControlTable
from common.keys import key_id_of, verify


class Authenticator:
    """Recognises keys; revoked and unknown ones alike are nobody's."""

    def __init__(self, control: ControlTable) -> None:
        self._control = control

    def recognise(self, token: str) -> ApiKey | None:
        """The key that `token` is, or None."""
        key_id = key_id_of(token)
        entry = None if key_id is None else self._control.get(ControlKind.KEY, key_id, ApiKey)
        return entry.value if entry is not None and verify(entry.value, token) else None


def requires(scope: Scope) -> "_Requires":
    """A dependency that lets a request through only with a key that has `scope`, and gives the key.

    The app must carry its `Authenticator` in `app.state.authenticator`.
    """
    return _Requires(scope)


class _Requires(SecurityBase):
    """One call, where FastAPI's own `HTTPBearer` would be another dependency to solve."""

    scheme_name = "HTTPBearer"
    model = HTTPBearer(description="An API key: `twinstream keys create` makes one.").model

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> ApiKey:  # async: others run in a thread, at four times the cost
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("unauthenticated", _no_key(scheme))
        authenticator: Authenticator = request.app.state.authenticator
        key = authenticator.recognise(token.strip())
        if key is None:
            raise Refused("unauthenticated", "The key is unknown or revoked.")
        if self._scope not in key.scopes:
            raise Refused("forbidden", f"The key {key.name!r} lacks the scope {self._scope.value!r}.")
        request.state.caller = key
        return key


def caller_of(request: Request) -> ApiKey:
    """The key with which `requires` let `request` through."""
    key: ApiKey = request.state.caller
    return key


def _no_key(scheme: str) -> str:
    if scheme and scheme.lower() != "bearer":
        return "The Authorization header holds another scheme: send `Authorization: Bearer <key>`."
    return "The request carries no key: send `Authorization: Bearer <key>`."
