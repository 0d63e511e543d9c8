"""Query parameters that nobody reads are refused: a typo must not vanish."""

from collections import Counter
from difflib import get_close_matches

from fastapi import FastAPI, Request

from common.errors import Refused


def misfit(at: str, detail: str) -> Refused:
    """What a route raises when the parameter `at`, such as "query.since", does not fit."""
    return Refused("invalid_parameter", detail, errors=[{"at": at, "detail": detail}])


async def only_known_parameters(request: Request) -> None:
    """A dependency that lets a request through only with query parameters that its route documents, each once."""
    if not request.scope["query_string"]:
        return
    known = _documented(request.app, request.scope["route"].path, request.method)
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            raise misfit(f"query.{name[:64]}", _unknown(name, known))
        if times > 1:
            raise misfit(f"query.{name}", f"The parameter {name!r} is given {times} times: give it once.")


def _documented(app: FastAPI, path: str, method: str) -> list[str]:
    operation = app.openapi()["paths"][path][method.lower()]
    return [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]


def _unknown(name: str, known: list[str]) -> str:
    shown = name[:64]
    if not known:
        return f"There is no parameter {shown!r}: this route takes none."
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"There is no parameter {shown!r}: this route takes {', '.join(known)}.{hint}"
