"""Which notifier has which destination."""

from typing import Any

import pytest

from common.destinations import Destination, DestinationKind
from signals.notifier.dispatcher import lane_key


def a_destination(name: str, **fields: Any) -> Destination:
    known = {"kind": DestinationKind.SLACK, "secret": "", "created_at": 0, "changed_at": 0}
    return Destination(name=name, **{**known, **fields})


@pytest.mark.parametrize("channel", ["#alerts", "alerts", "#Alerts", " #alerts "])
def test_a_channel_has_one_owner_however_its_name_is_written(channel: str) -> None:
    """So that one process keeps its pace for all destinations that name it."""
    assert lane_key(a_destination("team", channel=channel)) == lane_key(a_destination("ops", channel="#alerts"))


def test_what_has_no_channel_has_an_owner_of_its_own() -> None:
    ops, apps = (a_destination(name, kind=DestinationKind.WEBHOOK, url="https://x") for name in ("ops", "apps"))
    assert lane_key(ops) != lane_key(apps)
