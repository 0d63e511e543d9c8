"""Erasing an id over HTTP: for keys with the scope admin."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from common.contracts import Scope, Stream
from common.http.auth import requires
from common.http.bodies import encoded
from common.http.parameters import only_known_parameters
from query_api.documentation import answers
from query_api.lookups import PathId, checked_id
from query_api.parts import parts_of
from query_api.views import Erased

_DESCRIPTION: Final = (
    "Everything that was sent under this id up to now is erased: its document, its place in counts, what was rejected "
    "under it. The order of the log decides: what is sent under the id from now on begins anew. The log itself keeps "
    "what was sent until its retention has passed. An id that nobody knows can be erased too."
)

router = APIRouter(tags=["erasure"], dependencies=[Depends(requires(Scope.ADMIN)), Depends(only_known_parameters)])


def _told() -> dict[int | str, dict[str, Any]]:
    done = "The erasure stands in the log; stores follow moments later."
    return answers(202, done, Erased, "unavailable", examples=["erased"])


@router.delete(
    "/v1/a/{record_id}",
    status_code=202,
    summary="Erase an A",
    description=f"{_DESCRIPTION} Its B stay.",
    responses=_told(),
)
async def erase_a(request: Request, record_id: PathId) -> Response:
    return await _erase(request, Stream.A, record_id)


@router.delete("/v1/b/{record_id}", status_code=202, summary="Erase a B", description=_DESCRIPTION, responses=_told())
async def erase_b(request: Request, record_id: PathId) -> Response:
    return await _erase(request, Stream.B, record_id)


async def _erase(request: Request, stream: Stream, encoded_id: str) -> Response:
    record_id = checked_id(encoded_id)
    receipt = await parts_of(request).erasures.erase(stream, record_id)
    return encoded(Erased(stream=stream, id=record_id, receipt=receipt), 202)
