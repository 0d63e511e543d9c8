"""How fast records leave."""

import pytest
import typer

from twinstream.sending.pace import Pace, parse_rate, wave_size


@pytest.mark.parametrize(
    ("text", "rate"),
    [("12.7/s", 12.7), ("1000/s", 1000.0), ("1000", 1000.0), (" 5/S ", 5.0), ("unlimited", None), ("Unlimited", None)],
)
def test_rates_are_read_as_people_write_them(text: str, rate: float | None) -> None:
    """With or without the unit."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0/s", "-1/s", "1e3", "ten", "5/m", "inf", "nan", "1,000/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(typer.BadParameter, match=r"12\.7/s"):
        parse_rate(text)


@pytest.mark.parametrize(("rate", "records"), [(0.1, 1), (12.7, 3), (1000.0, 250), (1e9, 1000), (None, 1000)])
def test_a_slow_stream_flows(rate: float | None, records: int) -> None:
    """A wave holds a quarter of a second's records."""
    assert wave_size(rate).records == records


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


async def test_records_leave_at_their_rate() -> None:
    """The first at once, each wave when the records before it have used up their time."""
    time = Time()
    pace = Pace(10.0, time.now, time.sleep)
    left_at = []
    for records in (5, 10, 1, 1):
        await pace.before(records)
        left_at.append(round(time.now_s - 100, 6))
    assert left_at == [0.0, 0.5, 1.5, 1.6]


async def test_a_short_delay_is_caught_up_and_a_standstill_is_not() -> None:
    """After a minute's outage a rate of ten a second does not become six hundred at once."""
    time = Time()
    pace = Pace(10.0, time.now, time.sleep)
    await pace.before(1)
    time.now_s += 60
    for _ in range(11):
        await pace.before(1)
    assert round(time.now_s - 160, 6) == 0.0
    await pace.before(1)
    assert round(time.now_s - 160, 6) == 0.1


async def test_unlimited_never_waits() -> None:
    """Not even once."""
    time = Time()
    pace = Pace(None, time.now, time.sleep)
    for _ in range(100):
        await pace.before(1_000_000)
    assert time.now_s == 100
