"""What the stages ask of an alert."""

from typing import NamedTuple

from common.alerts import Severity
from common.contracts import Stream


class Hit(NamedTuple):
    """An alert on its way to one destination."""

    at: int  # ms since the epoch
    rule: str
    severity: Severity
    stream: Stream
    a_id: str
    cooldown_ms: int = 0
    group_ms: int = 0
