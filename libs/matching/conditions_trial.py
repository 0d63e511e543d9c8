"""A new condition is tried on sample records before it may meet real ones: it must neither fail nor take long."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import cel

from common.contracts import RecordA, RecordB, Stream
from matching.conditions import FAILURES, Expression, RecordContext, parse
from matching.conditions_source import ExpressionError, Token, fault, parts, tokens_of, unwrapped

BUDGET_S: Final = 0.02
"""What one evaluation may take, on the longest text there can be."""

_ROUNDS: Final = 3
_HOPELESS: Final = 5  # so far beyond the budget, measuring again changes nothing
_NUMBERS: Final = (0.0, 1.0, -1.5, 100.25, 1e12)
_TEXTS: Final = ("", "It leaks, I want a refund.", "Ошибка оплаты 返金 🙂")
_LONG_TEXTS: Final = tuple("lorem ipsum " * words for words in (32, 512, 5_400))  # the last just under 64 KiB
_EVENT_TIME: Final = 1_795_420_800_000

Timer = Callable[[], float]


def admit(expression: str, stream: Stream, timer: Timer = time.thread_time) -> Expression:
    """Compile `expression` and try it on samples, the longest last.

    Raises:
        ExpressionError: it does not compile, fails on a sample, does not give true or false, or takes too long.
    """
    compiled = parse(expression, stream)
    context = RecordContext(stream, compiled.variables)
    for sample in samples(stream):
        failure, spent = _tried(compiled, context.load(sample), timer)
        if failure is not None:
            raise fault(expression, _locate(expression, context.context), f"{failure}; {_describe(sample)}")
        if spent > BUDGET_S:
            raise ExpressionError(
                f"one evaluation took {spent * 1000:.0f} ms, more than {BUDGET_S * 1000:.0f}; {_describe(sample)}"
            )
    return compiled


def samples(stream: Stream) -> Sequence[RecordA]:
    """Records that a condition must be able to take."""
    contents = [(number, text) for number in _NUMBERS for text in _TEXTS]
    # Longer and longer, so that what takes out of all proportion is found out while it still is bearable.
    return [_sample(stream, number, text) for number, text in [*contents, *((1.0, text) for text in _LONG_TEXTS)]]


def _sample(stream: Stream, number: float, text: str) -> RecordA:
    if stream is Stream.A:
        return RecordA(id="a-1", number=number, text=text, event_time=_EVENT_TIME, ingested_at=_EVENT_TIME * 1000)
    return RecordB(
        id="b-1", a_id="a-1", number=number, text=text, event_time=_EVENT_TIME, ingested_at=_EVENT_TIME * 1000
    )


def _tried(expression: Expression, context: cel.Context, timer: Timer) -> tuple[str | None, float]:
    """What goes wrong, or None, and what it took; too long is measured again, in case something came between."""
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        started = timer()
        failure = _failure(expression, context)
        rounds.append(timer() - started)
        if failure is not None or not BUDGET_S < rounds[-1] <= _HOPELESS * BUDGET_S:
            break
    return failure, min(rounds)


def _failure(expression: Expression, context: cel.Context) -> str | None:
    """What goes wrong with the record in `context`, or None."""
    try:
        expression.evaluate(context)
    except FAILURES as error:
        return _brief(str(error.args[0] if error.args else error))
    return None


def _brief(message: str) -> str:
    """The first sentence: the package adds general advice."""
    return message.partition(". ")[0].replace(" in CEL expression", "").rstrip(".").replace("\n", " ")


def _describe(sample: RecordA) -> str:
    text = repr(sample.text) if len(sample.text) < 100 else f"{len(sample.text):,} characters"
    return f"tried on a record with number {sample.number} and text {text}"


def _locate(expression: str, context: cel.Context) -> int:
    """Where the smallest part begins that fails on its own: operands are tried from the outermost operator inward."""
    tokens = unwrapped(tokens_of(expression))
    while (inner := _failing_part(expression, tokens, context)) is not None:
        tokens = inner
    return tokens[0].at if tokens else 0


def _failing_part(expression: str, tokens: Sequence[Token], context: cel.Context) -> Sequence[Token] | None:
    for operators in (("?", ":"), ("||",), ("&&",), ("==", "!=", "<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%")):
        operands = list(parts(tokens, *operators))
        if len(operands) > 1:
            return next((unwrapped(part) for part in operands if part and _fails(expression, part, context)), None)
    return unwrapped(tokens[1:]) if tokens and tokens[0].text in {"!", "-"} else None


def _fails(expression: str, tokens: Sequence[Token], context: cel.Context) -> bool:
    """Whether this part alone, whatever it gives, cannot be evaluated."""
    source = expression[tokens[0].at : tokens[-1].at + len(tokens[-1].text)]
    try:
        cel.compile(source).execute(context)
    except FAILURES:
        return True
    return False
