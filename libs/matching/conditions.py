"""Conditions: CEL expressions on one record, compiled once (https://cel.dev).

Variables: `unique_identifier`, `Stream_A_unique_identifier` (stream B only), `number` (a double), `text`, `event_time`
(a timestamp). The functions are those of the CEL core: `text.contains("x")`, `text.matches("re2 syntax")`,
`event_time.getHours()`, `["a", "b"].exists(w, text.contains(w))` and so on; `size(text)` counts UTF-8 bytes.
An expression that fails on a record counts as false for it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import cel

from common.contracts import RecordA, Stream
from matching.conditions_source import ExpressionError, check_names, check_size

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # 9999-12-31: no datetime lies beyond
_PARSER_SAYS: Final = re.compile(r"ERROR: <input>:(\d+):(-?\d+): (.*)")
_TOO_MUCH_SAID: Final = re.compile(r" expecting \{.*|^Syntax error: |OtherError\(.*msg: (\"[^\"]*\").*")

_A_READERS: Final[Mapping[str, Callable[[Any], object]]] = MappingProxyType(
    {
        "unique_identifier": lambda record: record.id,
        "number": lambda record: record.number,
        "text": lambda record: record.text,
        "event_time": lambda record: _EPOCH + timedelta(milliseconds=min(record.event_time, _LAST_MS)),
    }
)
_READERS: Final[Mapping[Stream, Mapping[str, Callable[[Any], object]]]] = MappingProxyType(
    {Stream.A: _A_READERS, Stream.B: {**_A_READERS, "Stream_A_unique_identifier": lambda record: record.a_id}}
)


class Expression:
    """A compiled expression."""

    def __init__(self, program: cel.Program, variables: Collection[str]) -> None:
        self.source = program.source
        self.variables = frozenset(variables)
        """The variables of a record that it reads."""
        self._program = program

    def evaluate(self, context: cel.Context) -> bool:
        """Whether it holds for the record in `context`.

        Raises:
            ArithmeticError, TypeError, LookupError, ValueError, RuntimeError: it fails on this record.
        """
        value = self._program.execute(context)
        if value is True or value is False:
            return value
        raise TypeError(f"it gives {type(value).__name__}, not true or false")


FAILURES: Final = (ArithmeticError, TypeError, LookupError, ValueError, RuntimeError)
"""What `Expression.evaluate` raises for a record that the expression cannot take."""


class RecordContext:
    """A record as CEL sees it, made anew in place for each one: the cheapest way in."""

    def __init__(self, stream: Stream, variables: Collection[str]) -> None:
        self.context = cel.Context()
        self._readers = [(name, read) for name, read in _READERS[stream].items() if name in variables]

    def load(self, record: RecordA) -> cel.Context:
        for name, read in self._readers:
            self.context.add_variable(name, read(record))
        return self.context


def variables_of(stream: Stream) -> Collection[str]:
    """The names that a condition on `stream` may use."""
    return _READERS[stream].keys()


def parse(expression: str, stream: Stream) -> Expression:
    """Compile `expression`; see `matching.conditions_trial.admit` for one that is new.

    Raises:
        ExpressionError: where it is wrong and why.
    """
    check_size(expression)
    try:
        program = cel.compile(expression)
    except (ValueError, UnicodeError) as error:
        raise _syntax_error(str(error)) from None
    known = variables_of(stream)
    check_names(expression, known)
    return Expression(program, set(program.variables()).intersection(known))


def _syntax_error(message: str) -> ExpressionError:
    """What the parser says, without its list of everything that would have been right."""
    found = _PARSER_SAYS.search(message)
    if found is None:
        return ExpressionError("it holds half of a surrogate pair, which is no character")
    line, column, detail = int(found[1]), int(found[2]), found[3]
    return ExpressionError(
        _TOO_MUCH_SAID.sub(r"\1", detail).replace("'<EOF>'", "the end of the expression"), line, max(1, column)
    )
