"""What a caller asks of the windows, made out: which window, which unit, which condition. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Final

from common.contracts import Condition, Stream
from common.errors import Refused
from common.http.parameters import misfit
from common.kafka.control import Versioned
from query_api.count_views import Asked
from query_api.ids import problem_of_id
from query_api.instants import parse_instant
from windows.counts import Known
from windows.layout import HOUR_MS, MINUTE_MS, held_name
from windows.questions import Question, Unit, Window

DEFAULT_HOURS: Final = 24.0
MAX_STEPS: Final = 2_000


@dataclass(frozen=True)
class Understood:
    """A question that the windows can answer, and what its answer must say besides."""

    question: Question
    revision: int | None = None
    complete: bool = True


class Interpreter:
    """Makes out questions against the clock, the conditions there are and how they stand.

    Args:
        find: the condition of a name, and its revision.
        every: all of them; only asked when one cannot be found.
        now_ms: when it is asked.
    """

    def __init__(
        self,
        find: Callable[[str], Versioned[Condition] | None],
        every: Callable[[], Iterable[Versioned[Condition]]],
        now_ms: int,
    ) -> None:
        self._find = find
        self._every = every
        self._now_ms = now_ms

    def understand(self, asked: Asked, known: Known, at: str, *, series: bool = False) -> Understood:
        """Make out one question.

        Args:
            asked: as the caller put it.
            known: how the windows of its stream stand.
            at: where its fields stood: "query" or "body.questions[3]".
            series: whether it is asked step by step.

        Raises:
            Refused: invalid_parameter, unknown_condition or not_ready.
        """
        window = self._window(asked, known.layout.generation.horizon_ms, at)
        unit = asked.unit or self._default_unit(asked, window, series=series)
        if unit is Unit.EVENTS and (asked.a_id is not None or asked.condition is not None):
            raise misfit(
                f"{at}.unit", "Events are counted for the whole stream only: ask for items, or leave the rest."
            )
        self._check_a_id(asked, at)
        if unit is Unit.EVENTS or series:
            window = window.aligned()
        if asked.condition is None:
            return Understood(Question(asked.stream, window, unit, asked.a_id))
        name, revision, complete = self._condition(asked, asked.condition, known, at)
        question = Question(asked.stream, window, unit, asked.a_id, held_name(name, revision))
        return Understood(question, revision, complete)

    def hours(self, window: Window) -> float:
        """How long `window` is, up to now where it is open."""
        end_ms = max(self._now_ms, window.start_ms) if window.end_ms is None else window.end_ms
        return round((end_ms - window.start_ms) / HOUR_MS, 6)

    def steps(self, window: Window, step_minutes: int, at: str) -> list[Window]:
        """`window` in steps.

        Raises:
            Refused: invalid_parameter; there would be too many.
        """
        steps = self.hours(window) * 60 / step_minutes
        if steps > MAX_STEPS:
            raise misfit(
                f"{at}.step_minutes",
                f"That makes {steps:,.0f} steps, and {MAX_STEPS:,} are the most: take longer ones.",
            )
        return list(window.steps(step_minutes * MINUTE_MS, self._now_ms))

    def _window(self, asked: Asked, horizon_ms: int, at: str) -> Window:
        if asked.from_ is None:
            if asked.to is not None:
                raise misfit(f"{at}.to", "`to` needs a `from`.")
            hours = DEFAULT_HOURS if asked.hours is None else asked.hours
            return Window(self._now_ms - self._checked_ms(hours, horizon_ms, at))
        if asked.hours is not None:
            raise misfit(f"{at}.hours", "Give `hours`, or `from` with or without `to`, not both.")
        start_ms = parse_instant(str(asked.from_), f"{at}.from")
        end_ms = None if asked.to is None else parse_instant(str(asked.to), f"{at}.to")
        if end_ms is not None and end_ms <= start_ms:
            raise misfit(f"{at}.to", "`to` is not after `from`: the window would be empty.")
        if start_ms < self._now_ms - horizon_ms:
            raise misfit(f"{at}.from", f"`from` lies further back than windows reach: {_reach(horizon_ms)}.")
        return Window(start_ms, end_ms)

    def _checked_ms(self, hours: float, horizon_ms: int, at: str) -> int:
        if not isfinite(hours) or hours <= 0:
            raise misfit(f"{at}.hours", "`hours` is a number greater than 0; 0.5 is half an hour.")
        if hours * HOUR_MS > horizon_ms:
            raise misfit(f"{at}.hours", f"`hours` is {hours:g}, and windows reach back {_reach(horizon_ms)}.")
        return max(1, round(hours * HOUR_MS))

    def _default_unit(self, asked: Asked, window: Window, *, series: bool) -> Unit:
        """The past of items is what was last seen then: whoever asks for it most likely wants events."""
        past = window.end_ms is not None and window.end_ms < self._now_ms
        whole_stream = asked.a_id is None and asked.condition is None
        return Unit.EVENTS if (series or past) and whole_stream else Unit.ITEMS

    def _check_a_id(self, asked: Asked, at: str) -> None:
        if asked.a_id is None:
            return
        if asked.stream is Stream.A:
            raise misfit(f"{at}.a_id", "An A has no parent: `a_id` is for stream b.")
        if problem := problem_of_id(asked.a_id):
            raise misfit(f"{at}.a_id", f"{problem}.")

    def _condition(self, asked: Asked, name: str, known: Known, at: str) -> tuple[str, int, bool]:
        """The name, the revision that answers, and whether it has seen everything."""
        entry = self._find(name)
        if entry is None or entry.value.stream is not asked.stream:
            raise Refused("unknown_condition", self._unknown(name, asked.stream, entry))
        if asked.a_id is not None and not entry.value.per_a:
            raise misfit(f"{at}.condition", f"{name!r} is not counted for each A: change it to `per_a` first.")
        answering = known.standing.answering(entry.value, entry.version)
        if answering is not None and (asked.a_id is None or known.standing.conditions()[answering].per_a):
            return name, answering, True
        if asked.allow_partial:
            return name, entry.version, False
        progress = known.standing.progress(entry.version)
        raise Refused(
            "not_ready",
            f"{name!r} is being filled from past records: {progress:.0%} done. `allow_partial=true` counts what is.",
            progress=round(progress, 4),
        )

    def _unknown(self, name: str, stream: Stream, entry: Versioned[Condition] | None) -> str:
        if entry is not None:
            return f"{name!r} is a condition on stream {entry.value.stream}."
        names = [one.value.name for one in self._every() if one.value.stream is stream]
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else " GET /v1/conditions lists those there are."
        return f"There is no condition {name[:64]!r} on stream {stream}.{hint}"


def _reach(horizon_ms: int) -> str:
    return f"{horizon_ms / HOUR_MS:g} hours"
