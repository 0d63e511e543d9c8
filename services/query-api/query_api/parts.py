"""What the routes work with: put together by the wiring, carried by the app."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from common.clock import Clock
from common.contracts import StoredA, Stream
from query_api.alert_log import AlertLog
from query_api.alert_store import AlertStore
from query_api.analytics_store import AnalyticsStore
from query_api.backtests import Backtests
from query_api.coalescing import Coalescer
from query_api.condition_book import ConditionBook
from query_api.cursors import Cursors
from query_api.destination_book import DestinationBook
from query_api.erasures import Erasures
from query_api.key_ring import KeyRing
from query_api.queries import Queries
from query_api.rejected_store import RejectedStore
from query_api.replays import Replays
from query_api.rule_book import RuleBook
from query_api.rule_trials import RuleTrials
from query_api.silence_book import SilenceBook
from query_api.store import Store
from windows.counts import Counts


@dataclass(frozen=True)
class Parts:
    """The parts of a running query API."""

    store: Store
    single: Mapping[Stream, Coalescer[StoredA]]
    position: Coalescer[int]
    cursors: Cursors
    key_ring: KeyRing
    conditions: ConditionBook
    destinations: DestinationBook
    silences: SilenceBook
    alerts: AlertStore
    alert_log: AlertLog
    scanned: Coalescer[int]
    rejected: RejectedStore
    replays: Replays
    erasures: Erasures
    rules: RuleBook
    rule_trials: RuleTrials
    backtests: Backtests
    counts: Counts
    count_position: Coalescer[int]
    analytics: AnalyticsStore
    queries: Queries
    clock: Clock


def parts_of(request: Request) -> Parts:
    """The parts of the app that `request` came to."""
    parts: Parts = request.app.state.parts
    return parts
