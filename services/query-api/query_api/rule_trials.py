"""Rules tried on one record: with the scanner's own code, beside the event loop."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from admission.explanation import Refusal
from admission.validation import Validator
from common.clock import Clock
from common.contracts import RECORD, RecordA, Stream
from common.errors import Refused
from matching.explanation import Explanation, explain
from matching.rules import Rule
from matching.rules_checks import InvalidRule, parse
from query_api.backtest_views import TrialRequest
from query_api.rule_book import RuleBook, refused

_UNNAMED: Final = {"name": "unnamed"}
_FILLED_IN: Final[Mapping[Stream, Mapping[str, object]]] = {
    Stream.A: {"unique_identifier": "a-1", "number": 0},
    Stream.B: {"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 0},
}


class RuleTrials:
    """Tries one after the other: a text and a rule can be as large as they may be."""

    def __init__(self, book: RuleBook, clock: Clock, max_record_bytes: int) -> None:
        self._book = book
        self._clock = clock
        self._validators = {stream: Validator(stream, max_record_bytes) for stream in Stream}
        self._turn = asyncio.Lock()

    async def run(self, wanted: TrialRequest) -> Explanation:
        """Whether and where the rule holds for the record, or why not.

        Raises:
            Refused: unknown_rule, invalid_rule or invalid_body.
        """
        record = self._record(wanted.stream, wanted.record)
        async with self._turn:
            return await asyncio.to_thread(self._tried, wanted.rule, wanted.stream, record)

    def _tried(self, asked: dict[str, Any] | str, stream: Stream, record: RecordA) -> Explanation:
        return explain(self._rule(asked), stream, record)

    def _rule(self, asked: dict[str, Any] | str) -> Rule:
        if isinstance(asked, str):
            return self._book.get(asked).value
        try:
            return parse({**_UNNAMED, **asked})
        except InvalidRule as error:
            raise refused(error.problems, "body.rule") from None

    def _record(self, stream: Stream, sent: Mapping[str, object]) -> RecordA:
        raw = msgspec.json.encode({**_FILLED_IN[stream], **sent})
        checked = self._validators[stream].check(raw, self._clock.now_us())
        if isinstance(checked, Refusal):
            at = f"body.record.{checked.field}" if checked.field else "body.record"
            raise Refused("invalid_body", f"{at}: {checked.detail}", errors=[{"at": at, "detail": checked.detail}])
        return msgspec.json.decode(checked.value, type=RECORD[stream])
