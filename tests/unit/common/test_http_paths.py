"""An id in a path comes out as it was meant, slashes and percent signs included."""

import string
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from common.http.paths import KeepEncodedSlashes, decoded_id


async def routed(raw: bytes) -> tuple[str | None, int | None]:
    """The path that routes get to see for what came over the wire, or the status of a refusal."""
    seen: str | None = None
    status: int | None = None

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal seen
        seen = scope["path"]

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {"type": "http", "path": unquote(raw.decode("latin-1")), "raw_path": raw}
    await KeepEncodedSlashes(app)(scope, receive, send)
    return seen, status


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("/%25Ff"), min_size=1), st.booleans())
async def test_an_id_comes_out_as_it_went_in(id_: str, small: bool) -> None:  # noqa: FBT001  # drawn by hypothesis
    """And stays one segment, whichever way its percent signs are written."""
    encoded = quote(id_, safe="")
    raw = encoded.replace("%2F", "%2f") if small else encoded
    path, _ = await routed(b"/v1/a/" + raw.encode())
    assert path is not None
    segment = path.removeprefix("/v1/a/")
    assert "/" not in segment
    assert decoded_id(segment) == id_


@given(st.text(string.printable.replace("%", ""), min_size=1))
async def test_paths_without_escapes_pass_as_they_are(path: str) -> None:
    """Most of them."""
    assert await routed(path.encode()) == (path, None)


@pytest.mark.parametrize("raw", [b"/v1/a/%FF", b"/v1/a/%C3", b"/v1/a/%ED%A0%80", b"/v1/a/%C0%AF"])
async def test_what_is_not_utf8_is_refused(raw: bytes) -> None:
    """Two such ids would look the same once decoded with replacements."""
    assert await routed(raw) == (None, 422)
