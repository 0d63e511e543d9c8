"""Who is told that a destination was given up."""

from typing import Any

import pytest

from common.destinations import Destination, DestinationKind
from common.kafka.control import Versioned
from signals.notifier.notices import notice_of

NOW = 1_795_420_800_000


def a_destination(name: str, version: int, **fields: Any) -> Versioned[Destination]:
    known = {"kind": DestinationKind.WEBHOOK, "secret": "", "created_at": NOW, "changed_at": NOW}
    return Versioned(Destination(name=name, **{**known, **fields}), version)


FAILED = a_destination("ops", 7, fallback="team")
APPS, TEAM, OFF = a_destination("apps", 1), a_destination("team", 3), a_destination("a-first", 2, enabled=False)


@pytest.mark.parametrize(
    ("given_up", "told"),
    [
        ({}, "team"),
        ({"team": 3}, "apps"),
        ({"team": 2}, "team"),  # it was written anew since
        ({"apps": 1, "ops": 7}, "team"),
        ({"apps": 1, "team": 3}, None),
    ],
)
def test_the_fallback_is_told_or_else_the_first_that_still_takes_messages(
    given_up: dict[str, int], told: str | None
) -> None:
    """Never one that was given up itself, is disabled, or is the one that it is about."""
    notice = notice_of(FAILED, "why", [OFF, APPS, FAILED, TEAM], given_up, NOW)
    assert (notice and notice.destination) == told


def test_a_notice_has_one_name_for_each_version() -> None:
    """Whoever ended before all of it was written down makes the same one again."""
    first, again = (notice_of(FAILED, "why", [TEAM], {}, NOW + later) for later in (0, 5))
    assert first is not None
    assert again is not None
    assert first.id == again.id == "notice-7-ops"
