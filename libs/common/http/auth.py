"""Who may call a route: API keys out of the control table, with scopes."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from common.contracts import ApiKey, ControlKind, Scope
from common.errors import Refused
from common.kafka.control import ControlTable
from common.keys import key_id_of, verify

_bearer = HTTPBearer(auto_error=False, description="An API key: `twinstream keys create` makes one.")


class Authenticator:
    """Recognises keys; revoked and unknown ones alike are nobody's."""

    def __init__(self, control: ControlTable) -> None:
        self._control = control

    def recognise(self, token: str) -> ApiKey | None:
        """The key that `token` is, or None."""
        key_id = key_id_of(token)
        entry = None if key_id is None else self._control.get(ControlKind.KEY, key_id, ApiKey)
        return entry.value if entry is not None and verify(entry.value, token) else None


def requires(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    """A dependency that lets a request through only with a key that has `scope`, and gives the key.

    The app must carry its `Authenticator` in `app.state.authenticator`.
    """

    async def authorise(  # async, though it awaits nothing: FastAPI runs others in a thread, at four times the cost
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> ApiKey:
        if credentials is None:
            raise Refused("unauthenticated", _no_key(request))
        authenticator: Authenticator = request.app.state.authenticator
        key = authenticator.recognise(credentials.credentials)
        if key is None:
            raise Refused("unauthenticated", "The key is unknown or revoked.")
        if scope not in key.scopes:
            raise Refused("forbidden", f"The key {key.name!r} lacks the scope {scope.value!r}.")
        return key

    return authorise


def _no_key(request: Request) -> str:
    scheme = request.headers.get("authorization", "").partition(" ")[0]
    if scheme and scheme.lower() != "bearer":
        return "The Authorization header holds another scheme: send `Authorization: Bearer <key>`."
    return "The request carries no key: send `Authorization: Bearer <key>`."


IngestKey: TypeAlias = Annotated[ApiKey, Depends(requires(Scope.INGEST))]
ReadKey: TypeAlias = Annotated[ApiKey, Depends(requires(Scope.READ))]
AdminKey: TypeAlias = Annotated[ApiKey, Depends(requires(Scope.ADMIN))]
