"""A request's body, from its chunks to the raw records in it. Pure: bytes in, bytes or a refusal out."""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from email.message import Message as Headers
from enum import Enum, StrEnum
from functools import cached_property, lru_cache
from typing import Final, NamedTuple, Protocol

import msgspec
import zstandard

from common.errors import Refused

# --- what is taken --------------------------------------------------------------------------------------------------


class Form(Enum):
    """How records stand in a body."""

    JSON = ("application/json",)
    NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonlines")


class Encoding(StrEnum):
    """How a body is compressed."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


_FORMS: Final = {media_type: form for form in Form for media_type in form.value}


@lru_cache(maxsize=64)  # taking a header apart costs as much as checking five records
def form_of(content_type: str) -> Form:
    """The form that a Content-Type header names.

    Raises:
        Refused: unsupported_media_type; says which types are taken.
    """
    header = Headers()
    header["content-type"] = content_type
    media_type = content_type.partition(";")[0].strip().lower()
    form = _FORMS.get(media_type)
    if form is None:
        given = f"not {media_type[:64]!r}" if media_type else "which is absent"
        raise Refused(
            "unsupported_media_type",
            f"Content-Type must be application/json or application/x-ndjson, {given}.",
        )
    charset = header.get_content_charset("utf-8")
    if charset not in {"utf-8", "utf8"}:
        raise Refused("unsupported_media_type", f"The charset must be utf-8, not {charset[:64]!r}.")
    return form


def encoding_of(content_encoding: str) -> Encoding:
    """The encoding that a Content-Encoding header names; none is the identity.

    Raises:
        Refused: unsupported_media_type; says which encodings are taken.
    """
    name = content_encoding.strip().lower() or "identity"
    try:
        return Encoding(name)
    except ValueError:
        raise Refused(
            "unsupported_media_type",
            f"Content-Encoding must be gzip, zstd or identity, one of them and once, not {name[:64]!r}.",
        ) from None


# --- reading under a limit ------------------------------------------------------------------------------------------

# A gzip stream inflates at most 1032-fold; four bytes of zstd make a block of up to 128 KiB. So a slice of this size
# inflates to no more than 8 MiB, and what is too much is noticed before it fills the memory.
_SLICE: Final = 256
_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024  # https://www.rfc-editor.org/rfc/rfc9659


class _Decompressor(Protocol):
    """One member of a gzip stream or one frame of a zstd stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Body:
    """Takes a body in chunks and gives it whole and decompressed, in little more memory than its limit."""

    def __init__(self, encoding: Encoding, limit_bytes: int) -> None:
        self._encoding = encoding
        self._limit = limit_bytes
        self._received = 0
        self._size = 0
        self._parts: list[bytes] = []
        self._member: _Decompressor | None = None

    @cached_property
    def _zstd(self) -> zstandard.ZstdDecompressor:  # most bodies need none, and it is dear
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)

    @property
    def size(self) -> int:
        """Bytes kept so far, decompressed."""
        return self._size

    def feed(self, chunk: bytes) -> None:
        """Take in the next chunk.

        Raises:
            Refused: body_too_large, or invalid_encoding when it cannot be decompressed.
        """
        self._received += len(chunk)
        if self._received > self._limit:
            raise body_too_large(self._limit)
        if self._encoding is Encoding.IDENTITY:
            self._keep(chunk)
            return
        try:
            self._inflate(chunk)
        except (zlib.error, zstandard.ZstdError) as error:
            raise Refused("invalid_encoding", f"The body is not {self._encoding}: {error}.") from None

    def whole(self) -> bytes:
        """Everything, once the last chunk is in.

        Raises:
            Refused: invalid_encoding when the compressed stream ends too early.
        """
        if self._member is not None:
            raise Refused(
                "invalid_encoding", f"The {self._encoding} stream ends too early: it was cut off on its way or before."
            )
        return b"".join(self._parts)

    def _inflate(self, chunk: bytes) -> None:
        at = 0
        while at < len(chunk):
            member = self._member = self._member or self._next_member()
            piece = chunk[at : at + _SLICE]
            self._keep(member.decompress(piece))
            at += len(piece)
            if member.eof:
                at -= len(member.unused_data)  # another member may follow: both formats may be concatenated
                self._member = None

    def _next_member(self) -> _Decompressor:
        return zlib.decompressobj(31) if self._encoding is Encoding.GZIP else self._zstd.decompressobj()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise body_too_large(self._limit, "once decompressed")
        if part:
            self._parts.append(part)


def body_too_large(limit_bytes: int, when: str = "as sent") -> Refused:
    return Refused("body_too_large", f"The body has more than {limit_bytes:,} bytes {when}: send less at once.")


# --- splitting into records -----------------------------------------------------------------------------------------

_BOM: Final = b"\xef\xbb\xbf"  # Windows tools put it before UTF-8
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_BLANKS: Final = b" \t\n\r"
_BLANK_TEXT: Final = re.compile(rf"[{_BLANKS.decode()}]*")

# An element costs 60 bytes however short it is: sixteen mebibytes of "1,1,1" would cost a gibibyte. A body with more
# commas than this many per record that it may hold is split one by one, which is slow, and ends at the limit.
_COMMAS_PER_RECORD: Final = 8


class Split(NamedTuple):
    """The raw records of a body, in order."""

    records: Sequence[bytes]
    lines: Sequence[int] | None = None  # 1-based, of each record, where the body has lines


def split(form: Form, body: bytes, max_records: int) -> Split:
    """Find the records in `body` without looking into them.

    Raises:
        Refused: empty_body, invalid_json or too_many_records.
    """
    found = _split_lines(body, max_records) if form is Form.NDJSON else Split(_split_json(body, max_records))
    if not found.records:
        raise Refused("empty_body", "There is no record in the body: send at least one.")
    return found


def _split_lines(body: bytes, max_records: int) -> Split:
    body = body.removeprefix(_BOM).rstrip()
    if body.count(b"\n") >= max_records:  # blank lines count: else a body of them would cost a gibibyte
        raise _too_many(max_records, "lines")
    lines = body.split(b"\n")
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    return Split([lines[number - 1] for number in numbers], numbers)


def _split_json(body: bytes, max_records: int) -> Sequence[bytes]:
    if body.startswith(_BOM):
        body = b"   " + body[len(_BOM) :]  # blanks of the same length: places that a refusal names stay right
    start = len(body) - len(body.lstrip(_BLANKS))
    if start == len(body):
        return []
    if not body.startswith(b"[", start):
        _check_syntax(body)
        return [body.strip()]
    elements: Sequence[bytes | msgspec.Raw] | None = None
    if body.count(b",") < max_records * _COMMAS_PER_RECORD:
        with suppress(msgspec.DecodeError, RecursionError):  # broken, or a lone surrogate, which msgspec stops at
            elements = msgspec.json.decode(body, type=list[msgspec.Raw])
    if elements is None:
        _check_syntax(body)
        elements = list(_walk(body, start + 1, max_records))
    if len(elements) > max_records:
        raise _too_many(max_records, "records")
    return [bytes(element) for element in elements]


def _walk(body: bytes, at: int, max_records: int) -> Iterator[bytes]:
    """The elements from `at` on of an array that is known to be JSON, one by one, up to one more than allowed."""
    text = body.decode("utf-8", "surrogateescape")
    scan = json.JSONDecoder(parse_int=float).raw_decode  # float: an integer of 5,000 digits is an error of int
    at, found = _after_blanks(text, at), 0
    while text[at] != "]" and found <= max_records:
        try:
            _, end = scan(text, at)
        except RecursionError:
            raise _nested() from None
        yield text[at:end].encode("utf-8", "surrogateescape")
        found += 1
        at = _after_blanks(text, end)
        at = _after_blanks(text, at + 1) if text[at] == "," else at


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK_TEXT.match(text, at)
    return match.end() if match else at


def _check_syntax(body: bytes) -> None:
    """Make sure that all of `body` is one JSON value.

    A lone surrogate is a matter of one record's text, not of the body's syntax; msgspec would stop there.
    """
    try:
        msgspec.json.decode(_SURROGATE.sub(b"\\\\ufffd", body), type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise Refused("invalid_json", f"The body is not JSON: {_place(str(error), body)}.") from None
    except RecursionError:
        raise _nested() from None


def _place(message: str, body: bytes) -> str:
    """What msgspec says, where that is, and the few bytes that stand there."""
    match = _BYTE.search(message)
    if match is None:
        return f"it ends too early, at byte {len(body)}"
    at = int(match.group(1))
    around = body[max(0, at - 10) : at + 10].decode("utf-8", "backslashreplace")
    what = message.removeprefix("JSON is malformed: ").partition(" (byte")[0]
    hint = "; one record a line is application/x-ndjson" if what == "trailing characters" else ""
    return f"{what} at byte {at}, near {around!r}{hint}"


def _nested() -> Refused:
    return Refused("invalid_json", "The body is nested too deeply: a record is a flat object.")


def _too_many(max_records: int, what: str) -> Refused:
    return Refused(
        "too_many_records", f"The body has more than {max_records:,} {what}: split it into several requests."
    )
