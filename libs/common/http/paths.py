"""Ids in paths, which may hold a slash or a percent sign."""

from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from common.http import problems


class KeepEncodedSlashes:
    """Leaves %2F in a path encoded until its route is found, so that an id may hold a slash.

    Servers hand over the path decoded, where `/v1/a/x%2Fb` and `/v1/a/x/b` are the same. Routes with an id read it
    through `decoded_id`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] != "http" or b"%" not in raw:
            await self._app(scope, receive, send)
            return
        kept = raw.replace(b"%25", b"%2525").replace(b"%2F", b"%252F").replace(b"%2f", b"%252F")
        try:
            path = unquote_to_bytes(kept).decode()
        except UnicodeDecodeError:
            refusal = problems.problem("invalid_parameter", "The path is not UTF-8 once its percent signs are decoded.")
            await refusal(scope, receive, send)
            return
        scope["path"] = path  # in place: what the router adds to the scope is read further out
        await self._app(scope, receive, send)


def decoded_id(segment: str) -> str:
    """An id out of a path segment that `KeepEncodedSlashes` let through."""
    return segment.replace("%2F", "/").replace("%25", "%")
