"""Errors as RFC 9457 problem details: https://www.rfc-editor.org/rfc/rfc9457."""

import math
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path

from common.errors import CannotStart, Refused, TryLater
from common.problems import PROBLEMS
from common.telemetry import current_traceparent, trace_id

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

_CODE_OF_STATUS: Final = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_PASSING: Final = {429, 503}
_REFUSED_S: Final = 10  # until it may be asked again: a hand is needed in between
_CLIENT_CLOSED: Final = 499  # as nginx counts it; nobody reads the answer


class _ProblemResponse(JSONResponse):
    """Written by msgspec: it takes structs, and a hundred thousand errors in a fifth of the time."""

    media_type = MEDIA_TYPE

    def render(self, content: object) -> bytes:
        return msgspec.json.encode(content)


def problem(code: str, detail: str, *, headers: dict[str, str] | None = None, **extra: object) -> JSONResponse:
    """A problem document: type, title, status, detail, code, trace_id and whatever `extra` adds."""
    about = PROBLEMS[code]
    body = {
        "type": f"urn:twinstream:problem:{code}",
        "title": about.title,
        "status": about.status,
        "detail": detail,
        "code": code,
        **extra,
    }
    if traceparent := current_traceparent():
        body["trace_id"] = trace_id(traceparent)
    return _ProblemResponse(body, about.status, headers)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with `codes`, each with an example; several may share a status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        about = PROBLEMS[code]
        response = responses.setdefault(
            about.status,
            {
                "description": about.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][code] = {"summary": about.title, "value": _example(code)}
    return responses


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details; `code` is stable and listed in docs/errors.md.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(TryLater, _try_later)
    app.add_exception_handler(CannotStart, _misconfigured)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _internal)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101  # for the type: registered for it alone
    headers = None
    if error.code == "unauthenticated":
        headers = {"WWW-Authenticate": "Bearer"}
    elif PROBLEMS[error.code].status in _PASSING:
        headers = {"Retry-After": str(error.extra.pop("retry_after_s", 1))}
    return problem(error.code, error.detail, headers=headers, **error.extra)


async def _try_later(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TryLater)  # noqa: S101  # for the type: registered for it alone
    log.warning("unavailable", detail=str(error), cause=repr(error.__cause__))
    return problem("unavailable", str(error), headers={"Retry-After": str(math.ceil(error.retry_after))})


async def _misconfigured(_request: Request, error: Exception) -> JSONResponse:
    """What would have stopped the start came to be later: no fault of the request's, and none that it may hear of."""
    log.error("misconfigured", detail=str(error), cause=repr(error.__cause__))
    detail = "A part that this needs does not let us in, or does not fit us: it is logged under this trace_id."
    return problem("unavailable", detail, headers={"Retry-After": str(_REFUSED_S)})


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # for the type: registered for it alone
    errors = [{"at": ".".join(map(str, e["loc"])), "detail": e["msg"]} for e in error.errors()]
    in_body = any(e["loc"][:1] == ("body",) for e in error.errors())
    detail = "; ".join(f"{e['at']}: {e['detail']}" for e in errors[:5])
    return problem("invalid_body" if in_body else "invalid_parameter", detail, errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # for the type: registered for it alone
    code, headers = _CODE_OF_STATUS.get(error.status_code, "internal"), dict(error.headers or {})
    if code == "method_not_allowed":
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("Allow", "")
    return problem(code, _http_detail(request, code), headers=headers)


def _methods(request: Request) -> list[str]:
    """What the path of `request` takes: the framework tells of the first route alone, and each method is a route."""
    documented, path = request.app.openapi()["paths"], request.scope["path"]
    templates = [path] if path in documented else [one for one in documented if compile_path(one)[0].match(path)]
    return sorted({method.upper() for template in templates for method in documented[template]})


def _http_detail(request: Request, code: str) -> str:
    path = request.scope.get("raw_path", b"").decode("ascii", "replace")
    if code == "not_found":
        return f"There is no route {path}; /docs lists them. An id with a slash is sent with %2F in its place."
    if code == "method_not_allowed":
        return f"{path} does not take {request.method}."
    return f"{request.method} {path}: {PROBLEMS[code].title}."


async def _gone(request: Request, _error: Exception) -> Response:
    log.info("client_gone", path=request.url.path)
    return Response(status_code=_CLIENT_CLOSED)


async def _internal(_request: Request, error: Exception) -> JSONResponse:
    log.error("internal_error", exc_info=error)
    # This answer passes outside of what adds the header to all others.
    headers = {"X-Trace-Id": trace_id(traceparent)} if (traceparent := current_traceparent()) else None
    return problem("internal", "The request met a fault of ours; it is logged under this trace_id.", headers=headers)


def _example(code: str) -> dict[str, object]:
    about = PROBLEMS[code]
    return {
        "type": f"urn:twinstream:problem:{code}",
        "title": about.title,
        "status": about.status,
        "detail": about.remedy,
        "code": code,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
