"""Why a record is refused: the slow second look, in a fixed order, so that the same record always gets the same answer.

The order: the record as JSON, unknown fields, then field by field as the struct lists them: absent, no Unicode, of
another type, against its rule. The first that is found is told.
"""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from admission.rules import RULES, Broken, Rule
from common.contracts import INCOMING, Stream

_SHOWN: Final = 40  # characters of a value or a name that are repeated to the sender
_DIGITS: Final = 4_000  # beyond any rule, and below the 4,300 where int() refuses
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_ESCAPED_BYTES: Final = range(0xDC80, 0xDD00)  # where Python's "surrogateescape" puts bytes that are not UTF-8


class Refusal(NamedTuple):
    """Why a record is refused."""

    code: str
    detail: str
    field: str | None = None


class _Refused(Exception):  # noqa: N818  # ends the look below, at whatever depth it is found
    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(code, detail)
        self.refusal = Refusal(code, detail, field)


class _Members(list[tuple[str, Any]]):
    """An object's names and values as they stand; a name may stand twice."""


def explain(raw: bytes, stream: Stream, now_ms: int) -> Refusal | None:
    """What is wrong with the record in `raw`; None when nothing is."""
    try:
        members, is_utf8 = _parse(raw)
        _check_names(members, stream)
        for field in _fields(stream):
            _check_field(field, members, is_utf8=is_utf8, now_ms=now_ms)
    except _Refused as found:
        return found.refusal
    return None


# --- as JSON --------------------------------------------------------------------------------------------------------


def _parse(raw: bytes) -> tuple[_Members, bool]:
    """The record's members, and whether all of it is UTF-8; what is not stands as surrogates in its strings.

    The standard library's parser, unlike msgspec's, goes on past a lone surrogate, so that it can be said where it is.
    """
    text = raw.decode("utf-8", "surrogateescape")
    try:
        parsed = json.loads(text, object_pairs_hook=_Members, parse_int=_integer, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _Refused("record_not_json", f"The record is not JSON: {_place(error)}.") from None
    except RecursionError:
        raise _Refused("record_not_json", "The record is nested too deeply: it is a flat object.") from None
    if not isinstance(parsed, _Members):
        raise _Refused("record_not_object", f"The record is {_kind(parsed)}: it must be an object with named fields.")
    return parsed, not _SURROGATE.search(text)


def _integer(digits: str) -> int:
    return int(digits[:_DIGITS])


def _no_number(name: str) -> NoReturn:
    raise _Refused("record_not_json", f"The record is not JSON: {name} is none of its numbers.")


def _place(error: json.JSONDecodeError) -> str:
    what = error.msg[0].lower() + error.msg[1:].removesuffix(" at")
    at = len(error.doc[: error.pos].encode("utf-8", "surrogateescape"))
    around = error.doc[max(0, error.pos - 10) : error.pos + 10]
    return f"{what} at byte {at}, near {_quoted(around)}" if around else f"{what} at byte {at}"


# --- its names ------------------------------------------------------------------------------------------------------


def _check_names(members: _Members, stream: Stream) -> None:
    known = _names(stream)
    for name, _ in members:
        if name not in known:
            raise _Refused("unknown_field", f"{_quoted(name)} is {_hint(name[:64], stream)}", _clean(name[:64]))


@lru_cache(maxsize=1024)  # a sender's typo comes with each of its records, and looking for a close name takes a while
def _hint(name: str, stream: Stream) -> str:
    known = _names(stream)
    other = next((s for s in Stream if s is not stream and name in _names(s)), None)
    if other is not None:
        return f"a field of stream {other}, not of stream {stream}: send the record there, or without it."
    lowered = {field.lower(): field for field in known}
    close = get_close_matches(name.lower(), lowered, n=1)
    ending = f'did you mean "{lowered[close[0]]}"?' if close else f"they are {', '.join(known)}."
    return f"no field of stream {stream}: {ending}"


@cache
def _names(stream: Stream) -> Sequence[str]:
    return tuple(field.encode_name for field in _fields(stream))


@cache
def _fields(stream: Stream) -> Sequence[msgspec.structs.FieldInfo]:
    return msgspec.structs.fields(INCOMING[stream])


# --- its fields -----------------------------------------------------------------------------------------------------


def _check_field(field: msgspec.structs.FieldInfo, members: _Members, *, is_utf8: bool, now_ms: int) -> None:
    name, rule = field.encode_name, RULES[field.name]
    values = [value for given, value in members if given == name]
    if field.required and not values:
        raise _Refused("missing_field", f"{name} is missing: it must be {rule.wanted}.", name)
    try:
        for value in values:
            _check_unicode(name, value, rule, is_utf8=is_utf8)
        converted = [_converted(value, field.type, rule) for value in values]
        if converted:
            rule.check(converted[-1], now_ms)  # of a name that stands twice, the last value counts
    except Broken as broken:
        raise _Refused(broken.code, f"{name} {broken.what}.", name) from None


def _check_unicode(name: str, value: object, rule: Rule, *, is_utf8: bool) -> None:
    bad = _SURROGATE.search(value) if isinstance(value, str) else None
    if bad is None:
        return
    code_point = ord(bad[0])
    escaped_byte = not is_utf8 and code_point in _ESCAPED_BYTES
    what = f"a byte that is not UTF-8, 0x{code_point - 0xDC00:02x}" if escaped_byte else f"a lone surrogate, {bad[0]!a}"
    detail = f"{name} has {what}, as its character {bad.start() + 1}: send valid Unicode."
    raise _Refused(rule.code, detail, name)


def _converted(value: object, type_: Any, rule: Rule) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        code = rule.unreadable if isinstance(value, str) else "wrong_type"
        raise Broken(code, f"is {_kind(value)}{_shown(value)}: it must be {rule.wanted}") from None


# --- what is shown of what was sent ---------------------------------------------------------------------------------


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case _Members():
            return "an object"
    return "an array"


def _shown(value: object) -> str:
    if value is None or isinstance(value, list):
        return ""
    return f" ({_quoted(value) if isinstance(value, str) else json.dumps(value)[:_SHOWN]})"


def _quoted(text: str) -> str:
    """The beginning of `text` as JSON, whatever it holds."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return _clean(json.dumps(cut, ensure_ascii=False))


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
