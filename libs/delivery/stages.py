"""The stages before a message leaves: silence, cooldown, group, mute hours, limit. Pure; the caller brings the time.

One `Stages` is the memory of one destination. It is asked in the order of the hits:

    silence     a silence holds: kept, not sent
    cooldown    a message about the rule left less than its cooldown ago: kept, not sent
    group       the first hit of a rule opens a window and goes on; those within it wait for the window's digest
    mute hours  waits for their end
    limit       the destination has had its messages of the past hour: waits until one more may leave

Whatever waits and is due leaves together in one digest, which the last two stages may put off once more.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from common.alerts import Severity
from common.deliveries import DeliveryState
from common.destinations import MuteHours, Silence
from delivery.hits import Hit
from delivery.mute import muted_until, silenced_by

HOUR_MS: Final = 60 * 60 * 1000


class Leave(NamedTuple):
    """It leaves now; others of its rule wait for a digest until `window_until`."""

    window_until: int | None


class Wait(NamedTuple):
    """It waits for a digest."""

    until: int


class Keep(NamedTuple):
    """It is not sent."""

    state: DeliveryState
    why: str


Decision = Leave | Wait | Keep


class Policy(NamedTuple):
    """What a destination asks for."""

    name: str
    limit_per_hour: int = 0
    mute: Sequence[MuteHours] = ()


class Stages:
    """What one destination was sent, as far as it matters to what comes next."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._left: dict[str, int] = {}
        self._windows: dict[str, int] = {}
        self._sent: deque[int] = deque()

    def knows(self, rule: str) -> bool:
        """Whether it was told, or has seen, what last left about `rule`."""
        return rule in self._left

    def recall(self, rule: str, left_at: int, window_until: int | None) -> None:
        """Be told what last left about `rule` before this memory began; 0 for nothing."""
        self._left[rule] = max(left_at, self._left.get(rule, 0))
        if window_until is not None:
            self._windows[rule] = window_until

    def recall_sent(self, moments: Iterable[int]) -> None:
        """Be told when messages of the past hour left."""
        self._sent = deque(sorted(moments))

    def decide(self, hit: Hit, silences: Iterable[Silence]) -> Decision:
        """What becomes of `hit`; one that leaves counts from now on."""
        silence = silenced_by(silences, hit, self.policy.name)
        if silence is not None:
            return Keep(DeliveryState.SILENCED, f"silence {silence.id}")
        left_at = self._left.get(hit.rule, 0)
        if left_at and abs(hit.at - left_at) < hit.cooldown_ms:  # what is stored late may be older than what last left
            return Keep(DeliveryState.COOLED, f"cooldown until {left_at + hit.cooldown_ms}")
        window = self._windows.get(hit.rule, 0)
        if hit.group_ms and hit.at < window:
            return Wait(window)
        put_off = self.put_off([hit.severity], hit.at)
        if put_off is not None:
            return Wait(put_off)
        window_until = hit.at + hit.group_ms if hit.group_ms else None
        if window_until is not None:
            self._windows[hit.rule] = window_until
        self.left([hit.rule], hit.at)
        return Leave(window_until)

    def put_off(self, severities: Collection[Severity], at: int) -> int | None:
        """Until when a message of `severities` must wait; None where it may leave at `at`, in ms since the epoch."""
        ends = [muted_until(self.policy.mute, severity, at) for severity in severities]
        free = [end for end in ends if end is not None]
        if len(free) == len(ends):  # one that is let through takes the others along
            return max(free, default=None)
        return self._limited_until(at)

    def left(self, rules: Iterable[str], at: int) -> None:
        """Count a message about `rules` that leaves at `at`."""
        self._left |= {rule: max(at, self._left.get(rule, 0)) for rule in rules}
        if self.policy.limit_per_hour:
            self._sent.append(at)

    def _limited_until(self, at: int) -> int | None:
        limit = self.policy.limit_per_hour
        while self._sent and self._sent[0] <= at - HOUR_MS:
            self._sent.popleft()
        return self._sent[-limit] + HOUR_MS if limit and len(self._sent) >= limit else None
