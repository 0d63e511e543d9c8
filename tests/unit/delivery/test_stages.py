"""The stages: each in its order, by a clock that the test holds."""

from typing import Any

from common.alerts import Severity
from common.contracts import Stream
from common.deliveries import DeliveryState
from common.destinations import MuteHours, Silence
from delivery.hits import Hit
from delivery.simulation import Sent, per_hour, simulate
from delivery.stages import HOUR_MS, Keep, Leave, Policy, Stages, Wait

S = 1000
T0 = 1_795_420_800_000  # 2026-11-23T08:00:00Z


def hit(at_s: float, rule: str = "refunds", **fields: Any) -> Hit:
    return Hit(T0 + round(at_s * S), rule, fields.pop("severity", Severity.WARNING), Stream.B, "a-1", **fields)


def test_without_settings_everything_leaves() -> None:
    """Each alert by itself, and at once."""
    stages = Stages(Policy("ops"))
    assert [stages.decide(hit(n), ()) for n in range(3)] == [Leave(None)] * 3


def test_a_cooldown_counts_from_what_last_left() -> None:
    """Not from what it kept back, or a steady stream would never be heard of again."""
    stages = Stages(Policy("ops"))
    decided = [type(stages.decide(hit(at, cooldown_ms=10 * S), ())) for at in (0, 6, 9.999, 10, 15, 20)]
    assert decided == [Leave, Keep, Keep, Leave, Keep, Leave]


def test_what_is_older_than_what_last_left_is_kept_back_by_a_cooldown_alone() -> None:
    """Two that store alerts are not done in the order in which they began; without a cooldown, all of them leave."""
    stages = Stages(Policy("ops"))
    decided = [type(stages.decide(hit(at, cooldown_ms=ms), ())) for at, ms in ((60, 0), (59.998, 0), (59.999, 1000))]
    assert decided == [Leave, Leave, Keep]
    assert isinstance(stages.decide(hit(50, cooldown_ms=10 * S), ()), Leave)
    assert isinstance(stages.decide(hit(61, cooldown_ms=10 * S), ()), Keep)  # by what left at 60, not at 50


def test_a_digest_does_not_cool_what_was_stored_as_it_left() -> None:
    """It belongs to the window that has just ended, and its own digest leaves at once."""
    stages = Stages(Policy("ops"))
    stages.decide(hit(0, group_ms=60 * S), ())
    stages.left(["refunds"], T0 + 60 * S + 20)
    assert stages.decide(hit(59.99, group_ms=60 * S), ()) == Wait(T0 + 60 * S)
    assert stages.decide(hit(60.01, group_ms=60 * S), ()) == Leave(T0 + 120 * S + 10)


def test_cooldowns_are_of_rules() -> None:
    """Another rule is not kept back."""
    stages = Stages(Policy("ops"))
    stages.decide(hit(0, cooldown_ms=10 * S), ())
    assert isinstance(stages.decide(hit(1, "other", cooldown_ms=10 * S), ()), Leave)


def test_the_first_of_a_group_leaves_and_the_others_wait() -> None:
    """Until the end of the window that the first one opened; then the next one is a first again."""
    stages = Stages(Policy("ops"))
    end = T0 + 60 * S
    decided = [stages.decide(hit(at, group_ms=60 * S), ()) for at in (0, 1, 59.999, 60)]
    assert decided == [Leave(end), Wait(end), Wait(end), Leave(T0 + 120 * S)]


def test_a_silence_comes_before_all_else() -> None:
    """What it keeps starts no cooldown and opens no window."""
    silence = Silence(id="s1", starts_at=T0, ends_at=T0 + 5 * S, created_at=T0)
    stages = Stages(Policy("ops"))
    assert stages.decide(hit(0, cooldown_ms=60 * S), [silence]) == Keep(DeliveryState.SILENCED, "silence s1")
    assert isinstance(stages.decide(hit(5, cooldown_ms=60 * S), [silence]), Leave)


def test_a_limit_puts_off_until_one_more_may_leave() -> None:
    """Two an hour: the third waits until the first is an hour ago."""
    stages = Stages(Policy("ops", limit_per_hour=2))
    decided = [stages.decide(hit(at), ()) for at in (0, 60, 120)]
    assert decided == [Leave(None), Leave(None), Wait(T0 + HOUR_MS)]
    assert isinstance(stages.decide(hit(3600), ()), Leave)


def test_mute_hours_put_off_but_what_is_let_through() -> None:
    """A digest that holds something urgent takes the others along."""
    mute = MuteHours(start="08:00", end="09:00", let_through=(Severity.CRITICAL,))
    stages = Stages(Policy("ops", mute=[mute]))
    assert stages.decide(hit(0), ()) == Wait(T0 + HOUR_MS)
    assert isinstance(stages.decide(hit(1, severity=Severity.CRITICAL), ()), Leave)
    assert stages.put_off([Severity.INFO, Severity.CRITICAL], T0) is None


def test_memory_can_be_given_back() -> None:
    """After a restart a cooldown, a window and a limit hold as if nothing had happened."""
    stages = Stages(Policy("ops", limit_per_hour=1))
    assert not stages.knows("refunds")
    stages.recall("refunds", T0, T0 + 60 * S)
    stages.recall_sent([T0])
    assert stages.knows("refunds")
    assert isinstance(stages.decide(hit(5, cooldown_ms=10 * S), ()), Keep)
    assert stages.decide(hit(20, group_ms=60 * S), ()) == Wait(T0 + 60 * S)
    assert stages.decide(hit(70), ()) == Wait(T0 + HOUR_MS)


def test_a_simulation_counts_every_alert_once() -> None:
    """Firsts by themselves, the others in digests with exact counts, whatever puts them off."""
    hits = [hit(at, group_ms=60 * S) for at in range(150)]
    sent = simulate(hits, Policy("ops"))
    assert [(one.at - T0) // S for one in sent] == [0, 60, 60, 120, 120, 180]
    assert [one.alerts for one in sent] == [1, 59, 1, 59, 1, 29]


def test_a_simulation_under_a_limit_loses_nothing() -> None:
    """The messages are few, the alerts in them all of them."""
    sent = simulate([hit(at) for at in range(0, 2 * 3600, 10)], Policy("ops", limit_per_hour=3))
    assert sum(one.alerts for one in sent) == 720
    assert max(per_hour(sent).values()) <= 4  # an hour of the clock may hold the end of one span and the next
    assert sent[3] == Sent(T0 + HOUR_MS, 357)
