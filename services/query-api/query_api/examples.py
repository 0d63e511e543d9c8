"""The examples of the OpenAPI document: made of the very structs that are answered, so that they cannot drift."""

from base64 import b64encode
from typing import Final

import msgspec

from common.contracts import Scope, Stream
from query_api.analytics_examples import ANALYTICS_EXAMPLES
from query_api.condition_views import ConditionChange, ConditionPage, ConditionRequest, ConditionView, State
from query_api.count_views import Asked, Batch, Bucket, Count, Counts, Series
from query_api.key_views import Key, KeyPage, KeyRequest, NewKey
from query_api.rejected_views import (
    Outcome,
    RecordError,
    Rejected,
    RejectedPage,
    RejectedWhole,
    Replay,
    ReplayAnswer,
    Replayed,
    ReplayRequest,
)
from query_api.rule_examples import RULE_EXAMPLES
from query_api.signal_examples import SIGNAL_EXAMPLES
from query_api.views import AFound, ARecord, BFound, BPage, BRecord, Erased, Lookup
from windows.questions import Unit

_A: Final = ARecord(
    id="a-1",
    number=3.0,
    text="A customer.",
    event_time="2026-11-23T07:30:00.000Z",
    ingested_at="2026-11-23T07:30:00.412903Z",
    first_seen="2026-11-01T12:30:00.000Z",
)
_B: Final = BRecord(
    id="b-1",
    a_id="a-1",
    number=12.5,
    text="Please refund my order.",
    event_time="2026-11-23T08:00:00.000Z",
    ingested_at="2026-11-23T08:00:01.250417Z",
    first_seen="2026-11-23T08:00:00.000Z",
)
_KEY: Final = Key(
    id="3f9a1c5be27d",
    name="loader of the shop",
    scopes=(Scope.INGEST,),
    created_at="2026-11-23T08:00:00.000Z",
    revoked_at=None,
)
_REVOKED: Final = msgspec.structs.replace(_KEY, revoked_at="2026-11-24T17:00:00.000Z")
_TOKEN: Final = "tsk_3f9a1c5be27d_" + "0" * 64  # nobody's
CURSOR: Final = "AYzDnLAXXg3q5Ks7i8S34OVbMTc5NTQzNTIwMDAwMCwiYi0xIl0"
_COUNT: Final = Count(
    count=1234,
    unit=Unit.ITEMS,
    hours=24.0,
    window_start="2026-11-22T08:00:00.000Z",
    window_end=None,
    condition_revision=None,
    as_of="2026-11-23T07:59:59.700Z",
    lag_seconds=0.3,
    complete=True,
    late=0,
)
_CONDITION_COUNT: Final = msgspec.structs.replace(_COUNT, count=56, condition_revision=42)
_EVENT_COUNT: Final = msgspec.structs.replace(
    _COUNT, count=789, unit=Unit.EVENTS, hours=12.0, window_end="2026-11-22T20:00:00.000Z"
)
_CONDITION: Final = ConditionView(
    name="big",
    stream=Stream.B,
    expression="number > 100.0",
    per_a=False,
    revision=42,
    state=State.READY,
    progress=1.0,
    answering_revision=42,
    created_at="2026-11-23T08:00:00.000Z",
    changed_at="2026-11-23T08:00:00.000Z",
)
_NEW_CONDITION: Final = msgspec.structs.replace(_CONDITION, state=State.FILLING, progress=0.25, answering_revision=None)
_CHANGED_CONDITION: Final = msgspec.structs.replace(
    _CONDITION, expression="number > 200.0", revision=57, state=State.FILLING, progress=0.0
)
_REJECTED: Final = Rejected(
    id="0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331/0",
    stream=Stream.B,
    code="missing_field",
    detail="text is missing: it must be a string.",
    rejected_by="ingest",
    rejected_at="2026-11-23T08:00:00.000Z",
    size=78,
    truncated=False,
    record_id="b-1",
    replayed_at=None,
)
_RAW: Final = '{"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 1}'
_MENDED: Final = (
    b'{"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 1, "text": "Please refund my order."}'
)
_MISSING: Final = RecordError(index=0, field="text", code="missing_field", detail=_REJECTED.detail)
_RECEIPT: Final = "eyJ2IjoxLCJhdCI6eyJyZWNvcmRzLmIiOnsiMiI6NDcxMX19fQ"
EXAMPLES: Final[dict[str, msgspec.Struct]] = {
    **SIGNAL_EXAMPLES,
    **ANALYTICS_EXAMPLES,
    "an_a": _A,
    "a_b": _B,
    "more_to_come": BPage(items=[_B], next_cursor=CURSOR),
    "the_last_page": BPage(items=[_B], next_cursor=None),
    "no_b": BPage(items=[], next_cursor=None),
    "ids_of_a": Lookup(ids=["a-1", "a-2"]),
    "ids_of_b": Lookup(ids=["b-1", "b-2"]),
    "one_a_found": AFound(items=[_A, None]),
    "one_b_found": BFound(items=[_B, None]),
    "keys": KeyPage(items=[_KEY, _REVOKED], next_cursor=None),
    "key": _KEY,
    "revoked_key": _REVOKED,
    "key_request": KeyRequest(name="loader of the shop", scopes=(Scope.INGEST,)),
    "new_key": NewKey(**msgspec.structs.asdict(_KEY), key=_TOKEN),
    "count_of_items": _COUNT,
    "count_of_a_condition": _CONDITION_COUNT,
    "count_of_events": _EVENT_COUNT,
    "series": Series(
        items=[
            Bucket(start="2026-11-22T08:00:00.000Z", count=400),
            Bucket(start="2026-11-22T14:00:00.000Z", count=389),
        ],
        step_minutes=360,
        **{name: value for name, value in msgspec.structs.asdict(_EVENT_COUNT).items() if name != "count"},
    ),
    "questions": Batch(questions=[Asked(hours=24), Asked(hours=1, condition="big"), Asked(stream=Stream.A, hours=24)]),
    "counts": Counts(items=[_COUNT, _CONDITION_COUNT, _COUNT]),
    "condition": _CONDITION,
    "new_condition": _NEW_CONDITION,
    "changed_condition": _CHANGED_CONDITION,
    "conditions": ConditionPage(items=[_CONDITION], next_cursor=None),
    "condition_request": ConditionRequest(name="big", expression="number > 100.0"),
    "condition_change": ConditionChange(expression="number > 200.0"),
    "rejected_page": RejectedPage(items=[_REJECTED], next_cursor=CURSOR),
    "no_rejected": RejectedPage(items=[], next_cursor=None),
    "rejected_record": RejectedWhole(
        **msgspec.structs.asdict(_REJECTED), text=_RAW, base64=b64encode(_RAW.encode()).decode()
    ),
    "dry_run": ReplayRequest(items=[Replay(id=_REJECTED.id), Replay(id="records.b/0/4711")]),
    "mended": ReplayRequest(items=[Replay(id=_REJECTED.id, records=[msgspec.Raw(_MENDED)])], dry_run=False),
    "acceptable": ReplayAnswer(
        dry_run=True,
        items=[
            Replayed(id=_REJECTED.id, outcome=Outcome.REFUSED, errors=[_MISSING]),
            Replayed(id="records.b/0/4711", outcome=Outcome.ACCEPTABLE),
        ],
    ),
    "replayed": ReplayAnswer(
        dry_run=False, items=[Replayed(id=_REJECTED.id, outcome=Outcome.REPLAYED, receipt=_RECEIPT)]
    ),
    "erased": Erased(stream=Stream.A, id="a-1", receipt=_RECEIPT),
    **RULE_EXAMPLES,
}
