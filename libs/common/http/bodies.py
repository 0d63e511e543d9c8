"""Small JSON bodies as msgspec structs: read under a limit, refused by name where they do not fit, and written."""

import re
from email.message import Message as Headers
from typing import Final, TypeVar

import msgspec
from fastapi import Request, Response

from common.errors import Refused

T = TypeVar("T")

_ONE_HALF: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F])"
)


async def read_json(request: Request, type_: type[T], *, limit_bytes: int) -> T:
    """The body of `request` as a `type_`.

    FastAPI's own body parameters would read all of it before a key is looked at, and keep it unbounded.

    Raises:
        Refused: unsupported_media_type, body_too_large, empty_body, invalid_json or invalid_body.
    """
    _check_form(request)
    body = await _read(request, limit_bytes)
    if not body.strip():
        raise Refused("empty_body", "The body is empty: send a JSON object.")
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid_json", f"The body is not JSON: {_explain(error, body)}.") from None
    except RecursionError:
        raise Refused("invalid_json", "The body is nested too deeply.") from None


def encoded(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer whose JSON msgspec writes straight from structs: no second model, no second validation."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _check_form(request: Request) -> None:
    header = Headers()
    header["content-type"] = request.headers.get("content-type", "")
    charset = header.get_content_charset("utf-8")
    if header["content-type"].partition(";")[0].strip().lower() != "application/json" or charset != "utf-8":
        raise Refused("unsupported_media_type", "Send the body with `Content-Type: application/json`, in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused("unsupported_media_type", "Send the body uncompressed, without Content-Encoding.")


async def _read(request: Request, limit_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


def _too_large(limit_bytes: int) -> Refused:
    return Refused("body_too_large", f"The body has more than {limit_bytes:,} bytes.")


def _explain(error: Exception, body: bytes) -> str:
    """What msgspec says, but for a lone surrogate, which it takes for a text that ends too early."""
    if any(found["half"] for found in _ONE_HALF.finditer(body)):
        return "it holds half of a surrogate pair, which is no character"
    return str(error).removeprefix("JSON is malformed: ")


def _misfit(message: str) -> Refused:
    """Take apart what msgspec says, such as "Expected `str`, got `int` - at `$.ids[3]`"."""
    what, _, where = message.partition(" - at `$")
    at = ".".join(["body", where.removesuffix("`").lstrip(".")]) if where.strip("`") else "body"
    return Refused("invalid_body", f"{at}: {what}", errors=[{"at": at, "detail": what}])
