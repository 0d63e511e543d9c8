"""The source text of a condition: its tokens, and the rules that can be held to it before it runs once.

The CEL package gives no syntax tree. Tokens are enough for what must be known beforehand: how deep brackets nest, which
names stand free, and whether the work of one evaluation stays in proportion to the expression's length.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

MAX_BYTES: Final = 10_000
MAX_NESTING: Final = 64  # brackets, and choices; the parser gives up a little further on, with a worse message

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>(?:[bB]?[rR]|[rR][bB])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')
          |[bB]?(?:\"\"\"(?:\\.|.)*?\"\"\"|'''(?:\\.|.)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>0x[0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_CLOSING: Final = frozenset(_OPENING.values())
_LITERALS: Final = frozenset({"true", "false", "null", "in"})
_WALKS: Final = frozenset({"all", "exists", "exists_one", "filter"})
_FUNCTIONS: Final = frozenset(
    {"contains", "startsWith", "endsWith", "matches", "size", "has", "type", "dyn"}
    | {"int", "uint", "double", "string", "bytes", "timestamp", "duration"}
    | {"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
)
_TYPES: Final = frozenset({"int", "uint", "double", "bool", "string", "bytes"})


class ExpressionError(ValueError):
    """What is wrong with an expression, and where: `line` and `column` count from 1, in code points."""

    def __init__(self, detail: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {detail}")
        self.detail = detail
        self.line = line
        self.column = column


class Token(NamedTuple):
    """A piece of an expression; `kind` is string, number, name or mark."""

    kind: str
    text: str
    at: int  # code points from the start


def tokens_of(expression: str) -> list[Token]:
    """The tokens of `expression` without spaces and comments; whatever fits no other kind is a mark."""
    return [
        Token(match.lastgroup or "mark", match.group(), match.start())
        for match in _TOKEN.finditer(expression)
        if match.lastgroup != "space"
    ]


def fault(expression: str, at: int, detail: str) -> ExpressionError:
    """An error at the code point `at` of `expression`."""
    before = expression[:at]
    return ExpressionError(detail, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)


def check_size(expression: str) -> None:
    """Refuse what is too long or nested too deep for the parser to be asked.

    Raises:
        ExpressionError: says the limit.
    """
    size = len(expression.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ExpressionError(f"the expression has {size:,} bytes; {MAX_BYTES:,} are the most")
    depth = choices = 0
    for token in tokens_of(expression):
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        choices += token.text == "?"
        if depth > MAX_NESTING:
            raise fault(expression, token.at, f"brackets nest more than {MAX_NESTING} deep here")
        if choices > MAX_NESTING:
            raise fault(expression, token.at, f"this is one `?` too many: {MAX_NESTING} are the most")


def check_names(expression: str, variables: Collection[str]) -> None:
    """Refuse names that mean nothing, and walks over lists whose cost could get out of proportion.

    Raises:
        ExpressionError: at the name, with the nearest one there is.
    """
    tokens = tokens_of(expression)
    bound = {tokens[n + 2].text for n, token in enumerate(tokens[:-2]) if _is_walk(tokens, n) and token.kind == "name"}
    for n, token in enumerate(tokens):
        if token.kind != "name" or token.text in _LITERALS:
            continue
        known = _known_at(tokens, n, variables, bound)
        if known is not None and token.text not in known:
            raise fault(expression, token.at, _unknown(token.text, known, called=_is_called(tokens, n)))
    _check_walks(expression, tokens)


def _known_at(
    tokens: Sequence[Token], n: int, variables: Collection[str], bound: Collection[str]
) -> Collection[str] | None:
    """The names that may stand at `n`; None where any may: a field behind a dot, which shows when it is tried."""
    if _is_called(tokens, n):
        return _FUNCTIONS | _WALKS if _is_method(tokens, n) else _FUNCTIONS
    return None if _is_method(tokens, n) else {*variables, *bound, *_TYPES}


def _check_walks(expression: str, tokens: Sequence[Token]) -> None:
    """A walk within a walk multiplies: six of them in 200 bytes make a million steps."""
    enclosing: list[bool] = []
    for n, token in enumerate(tokens):
        walk = n > 0 and token.text == "(" and _is_walk(tokens, n - 1)
        if walk and any(enclosing):
            name = tokens[n - 1]
            raise fault(expression, name.at, f"{name.text}() stands within another walk over a list; one is the most")
        if token.text in _OPENING:
            enclosing.append(walk)
        elif token.text in _CLOSING and enclosing:
            enclosing.pop()


def _is_walk(tokens: Sequence[Token], n: int) -> bool:
    return tokens[n].text in _WALKS and _is_called(tokens, n) and _is_method(tokens, n)


def _is_called(tokens: Sequence[Token], n: int) -> bool:
    return n + 1 < len(tokens) and tokens[n + 1].text == "("


def _is_method(tokens: Sequence[Token], n: int) -> bool:
    return n > 0 and tokens[n - 1].text == "."


def _unknown(name: str, known: Collection[str], *, called: bool) -> str:
    what = "function" if called else "variable"
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
    return f"there is no {what} {name!r} here: {hint}"


def parts(tokens: Sequence[Token], *operators: str) -> Iterator[Sequence[Token]]:
    """`tokens` cut at `operators` that no bracket encloses."""
    depth = start = 0
    for n, token in enumerate(tokens):
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and token.kind == "mark" and token.text in operators:
            yield tokens[start:n]
            start = n + 1
    yield tokens[start:]


def unwrapped(tokens: Sequence[Token]) -> Sequence[Token]:
    """`tokens` without round brackets around all of them."""
    while len(tokens) > 1 and tokens[0].text == "(" and _closes_last(tokens):
        tokens = tokens[1:-1]
    return tokens


def _closes_last(tokens: Sequence[Token]) -> bool:
    depth = 0
    for n, token in enumerate(tokens):
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0:
            return n == len(tokens) - 1
    return False
