"""What ends a command with a message for a person instead of a traceback.

CliError             says what is wrong and what to do; exit status 1
├── ProblemError     a service answered with a problem
├── UnreachableError nothing answers at the address
└── MissingKeyError  a call needs an API key and there is none
"""

from pathlib import Path
from typing import Final

import msgspec

_UP: Final = "Is it running? `make up` starts everything on this machine; --url and --ingest-url name another."


class CliError(Exception):
    """The root.

    Attributes:
        title: one line, what is wrong.
        detail: where, and what to do; may be empty.
        code: a service's stable code, or None.
    """

    def __init__(self, title: str, detail: str = "", code: str | None = None) -> None:
        super().__init__(title, detail)
        self.title = title
        self.detail = detail
        self.code = code


class RecordError(msgspec.Struct, frozen=True):
    """Why a service refused one record of a request; `index` counts the request's records from 0."""

    index: int
    code: str
    detail: str
    field: str | None = None


class ProblemError(CliError):
    """A service's answer that is no success; `status` is HTTP's, `errors` tells of records where it does."""

    def __init__(  # noqa: PLR0913  # the members of a problem document
        self, title: str, detail: str, code: str | None, *, status: int, trace_id: str | None, errors: list[RecordError]
    ) -> None:
        super().__init__(title, detail, code)
        self.status = status
        self.trace_id = trace_id
        self.errors = errors


class UnreachableError(CliError):
    """No answer from `url` for `reason`."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Nothing answers at {url}", f"{reason}. {_UP}")


class MissingKeyError(CliError):
    """No API key was given, nor does `sought` hold one."""

    def __init__(self, sought: Path) -> None:
        super().__init__(
            "No API key",
            f"`make up` and `twinstream init` put the first one into {sought}; `twinstream keys create` makes more. "
            "Pass one on in TWINSTREAM_KEY or with --key.",
        )
