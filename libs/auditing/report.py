"""What an audit tells of each pair of stores that it compared: a line in the log, which `twinstream audit` shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from common.contracts import Stream

log = structlog.get_logger()

EXIT_DRIFT: Final = 1
EXIT_LEFT_OUT: Final = 3

_EXAMPLES: Final = 5
_WARNING, _INFO = 30, 20


@dataclass(frozen=True)
class Compared:
    """One pair of stores: how much of it was looked at, and what is wrong where they disagree."""

    stream: Stream
    between: str
    """Such as "lake and documents"."""
    looked_at: int
    unit: str = "ids"
    drift: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by the id, message or window that it is wrong with."""
    left_out: str | None = None
    """Why nothing could be said of the whole or of a part."""


def tell(compared: Compared) -> None:
    """Log what came out."""
    log.log(
        _WARNING if compared.drift or compared.left_out else _INFO,
        "audited",
        stream=compared.stream,
        between=compared.between,
        looked_at=compared.looked_at,
        unit=compared.unit,
        drift=len(compared.drift),
        examples=[f"{what}: {fault}" for what, fault in sorted(compared.drift.items())[:_EXAMPLES]],
        left_out=compared.left_out,
    )


def exit_status(*, drift: bool, left_out: bool) -> int:
    """0 when everything agrees; 1 for any drift; 3 when there is none in what could be compared, and not all could."""
    return EXIT_DRIFT if drift else EXIT_LEFT_OUT if left_out else 0
