"""What a destination would have been sent, had hits of the past come with today's settings. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from common.destinations import Silence
from delivery.hits import Hit
from delivery.stages import HOUR_MS, Keep, Leave, Policy, Stages, Wait


class Sent(NamedTuple):
    """A message and how many alerts it carries."""

    at: int  # ms since the epoch
    alerts: int


def simulate(hits: Iterable[Hit], policy: Policy, silences: Sequence[Silence] = ()) -> list[Sent]:
    """The messages that `hits`, in the order of time, come to at one destination, in the order that they leave."""
    stages, waiting, sent = Stages(policy), _Waiting(), list[Sent]()
    for hit in hits:
        sent += waiting.release(stages, hit.at)
        match stages.decide(hit, silences):
            case Leave():
                sent.append(Sent(hit.at, 1))
            case Wait(until):
                waiting.add(hit, until)
            case Keep():
                pass
    return sent + waiting.release(stages, None)


def per_hour(sent: Iterable[Sent]) -> dict[int, int]:
    """Messages by the beginning of their hour, in ms since the epoch."""
    return dict(sorted(Counter(one.at // HOUR_MS * HOUR_MS for one in sent).items()))


class _Waiting:
    """Hits that wait for a digest, by the moment that they are due."""

    def __init__(self) -> None:
        self._held: list[tuple[int, Hit]] = []  # a heap

    def add(self, hit: Hit, until: int) -> None:
        heappush(self._held, (until, hit))

    def release(self, stages: Stages, before: int | None) -> list[Sent]:
        """The digests that leave up to `before`, or all that ever will."""
        sent = list[Sent]()
        while self._held and (before is None or self._held[0][0] <= before):
            at, due = self._held[0][0], list[Hit]()
            while self._held and self._held[0][0] <= at:
                due.append(heappop(self._held)[1])
            put_off = stages.put_off({hit.severity for hit in due}, at)
            if put_off is None:
                stages.left({hit.rule for hit in due}, at)
                sent.append(Sent(at, len(due)))
                continue
            for hit in due:
                self.add(hit, put_off)
        return sent
