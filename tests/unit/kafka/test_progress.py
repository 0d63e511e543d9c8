"""Claims on how long a partition waits."""

from common.kafka.progress import Progress, now


async def test_it_waits_longer_each_time_up_to_a_limit() -> None:
    """A store that is away is not hammered, and is not left alone for minutes either."""
    progress, waits = Progress(), []
    for _ in range(12):
        progress.back_off()
        waits.append(progress.backoff_s)
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


async def test_it_waits_at_least_half_of_its_time() -> None:
    """Jitter spreads workers; it must not make them return at once."""
    for _ in range(100):
        progress, before = Progress(), now()
        progress.back_off()
        assert 0.05 <= progress.resume_at - before <= 0.11


async def test_moving_on_ends_the_wait() -> None:
    progress = Progress(trouble="away")
    progress.back_off()
    progress.moved_to(7)
    assert (progress.position, progress.backoff_s, progress.resume_at, progress.trouble) == (7, 0.0, 0.0, None)
