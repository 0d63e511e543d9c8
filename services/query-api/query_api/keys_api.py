"""The API keys over HTTP: for keys with the scope admin."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from common.contracts import Scope
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from query_api.documentation import BODY, answers, choices, takes
from query_api.key_views import Key, KeyPage, KeyRequest, NewKey, view_key, view_new_key
from query_api.parts import parts_of

_LIMIT_BYTES: Final = 16 * 1024

router = APIRouter(tags=["keys"], dependencies=[Depends(requires(Scope.ADMIN)), Depends(only_known_parameters)])

KeyId = Annotated[str, Path(description="The key's id.", openapi_examples=choices(a_key="3f9a1c5be27d"))]


@router.get(
    "/v1/keys",
    summary="List the keys",
    description="All keys, the oldest first, revoked ones included.",
    responses=answers(200, "The keys.", KeyPage, examples=["keys"]),
)
async def list_keys(request: Request) -> Response:
    keys = parts_of(request).key_ring.all()
    return encoded(KeyPage(items=[view_key(key) for key in keys], next_cursor=None))


@router.post(
    "/v1/keys",
    status_code=201,
    summary="Make a key",
    description="The answer holds the key's token, this once: only its hash is kept. The key is in force for this "
    "service at once, for the others moments later.",
    openapi_extra=takes(KeyRequest, examples=["key_request"]),
    responses=answers(
        201, "The key, and where to find it in `Location`.", NewKey, *BODY, "unavailable", examples=["new_key"]
    ),
)
async def make_key(request: Request) -> Response:
    wanted = await read_json(request, KeyRequest, limit_bytes=_LIMIT_BYTES)
    key, token = await parts_of(request).key_ring.make(wanted.name, wanted.scopes)
    headers = {"Location": f"/v1/keys/{key.id}", "Cache-Control": "no-store"}
    return encoded(view_new_key(key, token), 201, headers)


@router.get(
    "/v1/keys/{key_id}",
    summary="Look at a key",
    description="Its name, its scopes, and whether it is in force.",
    responses=answers(200, "The key.", Key, "not_found", examples=["key", "revoked_key"]),
)
async def get_key(request: Request, key_id: KeyId) -> Response:
    return encoded(view_key(parts_of(request).key_ring.get(key_id)))


@router.delete(
    "/v1/keys/{key_id}",
    summary="Revoke a key",
    description="From now on it opens nothing; it stays listed with `revoked_at`. A second time changes nothing.",
    responses=answers(200, "The key.", Key, "not_found", "last_admin_key", "unavailable", examples=["revoked_key"]),
)
async def revoke_key(request: Request, key_id: KeyId) -> Response:
    return encoded(view_key(await parts_of(request).key_ring.revoke(key_id)))
