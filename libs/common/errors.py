"""One tree of errors, each named for what whoever catches it must do.

    TwinstreamError
    ├── Refused       the sender must change what was sent: answered as a problem, or put aside in records.rejected
    ├── TryLater      nothing is wrong with the request: the same call may go through after a while
    ├── Reposition    the stored position is not where this worker thought: read it again and seek there
    └── CannotStart   the process must not start: its configuration or surroundings need a hand

Adapters translate their driver's exceptions into these, so that no caller needs to know the driver.
"""


class TwinstreamError(Exception):
    """The root: catch it only at the outermost edge."""


class Refused(TwinstreamError):  # noqa: N818  # named for the deed, as its siblings are
    """The sender must change what was sent.

    Attributes:
        code: stable and machine-readable, one of `common.problems.PROBLEMS`.
        detail: what is wrong, where, and what would be right, for a person.
        extra: further members of the problem document.
    """

    def __init__(self, code: str, detail: str, **extra: object) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.extra = extra


class TryLater(TwinstreamError):  # noqa: N818  # named for the deed, as its siblings are
    """A store or the log is away or overloaded; `retry_after` is a hint in seconds."""

    def __init__(self, what: str, retry_after: float = 1.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class Reposition(TwinstreamError):  # noqa: N818  # named for the deed, as its siblings are
    """The stored position is not where the batch began: another worker moved it, or the store lost writes."""


class CannotStart(TwinstreamError):  # noqa: N818  # named for the deed, as its siblings are
    """Configuration or surroundings make a start pointless; the message says what to change.

    Attributes:
        code: stable and machine-readable, one of `common.problems.START`.
    """

    def __init__(self, what: str, code: str = "misconfigured") -> None:
        super().__init__(what)
        self.code = code


def unfit_secret(variable: str, error: Exception) -> str:
    """What to say of a connection string that a driver refuses: never the driver's words, which may hold a password."""
    return (
        f"{variable} does not fit ({type(error).__name__}): see how its driver writes connection strings; special "
        "characters in a user or password are percent-encoded"
    )
