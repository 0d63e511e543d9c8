"""Through the real slack-sdk to a server that behaves like Slack: each message once, in order, whatever it answers."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from common.alerts import Alert
from common.destinations import DestinationKind

EXAMPLES = Path(__file__).parents[3] / "examples"
TOKEN = "xoxb-a-bot"  # noqa: S105  # nobody's


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[Any]:
    spec = importlib.util.spec_from_file_location("slack_stand_in", EXAMPLES / "slack_stand_in.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stand_in = module.SlackStandIn(interval_s=0.0)
    runner = web.AppRunner(stand_in.app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stand_in
    await runner.cleanup()


@pytest.fixture
def to_slack(notifying: Any, slack: Any) -> Callable[..., Any]:
    """A notifier that finds the stand-in where Slack would be, and does not wait between messages unless it is told."""

    def to_slack(*args: Any, **settings: Any) -> Any:
        return notifying(*args, **{"slack_base_url": f"{slack.url}/api/", "slack_interval_ms": 0, **settings})

    return to_slack


async def team(bench: Any, name: str = "team", channel: str = "#alerts") -> None:
    await bench.destination(name, TOKEN, kind=DestinationKind.SLACK, channel=channel)


def texts(slack: Any) -> list[str]:
    """What people see of the records, in order."""
    return [
        "".join(e["text"] for b in m["blocks"] if b["type"] == "rich_text" for e in b["elements"][0]["elements"])
        for m in slack.messages
    ]


def alerts_to(an_alert: Callable[..., Alert], destination: str, count: int, text: str = "no.") -> list[Alert]:
    return [
        an_alert(f"{destination}-{n}", destinations=(destination,), text=f"{text} {n}", matches=())
        for n in range(count)
    ]


async def test_messages_arrive_once_with_what_matched_marked(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert]
) -> None:
    """In Block Kit, in the destination's channel."""
    await team(bench)
    async with to_slack():
        await bench.raise_(an_alert(destinations=("team",)))
        await bench.until(lambda: _delivered(bench, 1))
    (message,) = slack.messages
    assert (message["channel"], message["text"]) == ("#alerts", ":warning: *refunds* (warning)")
    marked = [e["text"] for b in message["blocks"] if b["type"] == "rich_text" for e in b["elements"][0]["elements"]]
    assert marked == ["A ", "refund", ", please."]


async def test_an_incoming_webhook_will_do(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert]
) -> None:
    """Its URL is the secret."""
    await bench.destination("team", f"{slack.url}/services/T/B/x", kind=DestinationKind.SLACK)
    async with to_slack():
        await bench.raise_(an_alert(destinations=("team",)))
        await bench.until(lambda: _delivered(bench, 1))
    assert [message["channel"] for message in slack.messages] == ["/services/T/B/x"]


async def test_a_429_pauses_its_channel_and_no_other(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Nothing is sent there until Retry-After is over, by the next owner neither; nothing is lost or out of order."""
    slack.retry_after_s = 30
    await team(bench, "team", "#busy")
    await team(bench, "other", "#free")
    slack.limit("#busy", 3600)
    async with to_slack(clock):
        await bench.raise_(*alerts_to(an_alert, "team", 3), *alerts_to(an_alert, "other", 3))
        await bench.until(lambda: len([one for one in slack.messages if one["channel"] == "#free"]) == 3)
        await bench.until(lambda: ("#busy", 429) in slack.posts)
    async with to_slack(clock):
        await bench.raise_(*alerts_to(an_alert, "other", 1, "after a restart"))
        await bench.until(lambda: len([one for one in slack.messages if one["channel"] == "#free"]) == 4)
        slack.limit("#busy", 0)
        assert [status for channel, status in slack.posts if channel == "#busy"] == [429]
        clock.advance(ms=30_000)
        await bench.until(lambda: _delivered(bench, 7))
    assert [status for channel, status in slack.posts if channel == "#busy"] == [429, 200, 200, 200]
    (limited,) = [one for one in await bench.deliveries(destination="team") if len(one.attempts) == 2]
    assert (limited.tries, [one.status for one in limited.attempts]) == (1, [429, 200])


async def test_a_channel_gets_one_message_a_second(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Whichever destination names it."""
    await team(bench, "team", "#one")
    await team(bench, "other", "#one")
    async with to_slack(clock, slack_interval_ms=1_000):
        await bench.raise_(*alerts_to(an_alert, "team", 2), *alerts_to(an_alert, "other", 1))
        for sent in (1, 2, 3):
            await bench.until(lambda sent=sent: len(slack.messages) == sent)
            await bench.until(lambda sent=sent: _delivered(bench, sent))
            assert len(slack.messages) == sent
            clock.advance(ms=1_000)
        await bench.until(lambda: _delivered(bench, 3))


async def _server_error(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="<html>upstream</html>", content_type="text/html")


async def _not_in_channel(_: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": False, "error": "not_in_channel"})


async def _dropped(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def _no_json(_: web.Request) -> web.StreamResponse:
    return web.Response(text="{half", content_type="application/json")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (_server_error, "answered 503"),
        (_not_in_channel, "not_in_channel"),
        (_dropped, "ServerDisconnectedError"),
        (_slow, "no answer in time"),
        (_no_json, "answered 200"),
    ],
)
async def test_what_fails_is_tried_again(  # noqa: PLR0917
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert], clock: Any, fault: Any, error: str
) -> None:
    """Later, by our own schedule and not the SDK's; others go past it."""
    slack.faults.append(fault)
    await team(bench)
    first, second = alerts_to(an_alert, "team", 2)
    async with to_slack(clock, send_timeout_ms=1_000):
        await bench.raise_(first)
        await bench.until(lambda: _tried(bench))
        await bench.raise_(second)
        await bench.until(lambda: _delivered(bench, 1))
        assert texts(slack) == ["no. 1"]
        clock.advance(ms=10_000)
        await bench.until(lambda: _delivered(bench, 2))
    assert texts(slack) == ["no. 1", "no. 0"]
    (retried,) = await bench.deliveries(tries=2)
    assert [one.error for one in retried.attempts] == [error, None]


async def test_what_slack_will_never_take_is_given_up_at_once(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert]
) -> None:
    """And holds nothing up."""

    async def invalid(_: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": False, "error": "invalid_blocks"})

    slack.faults.append(invalid)
    await team(bench)
    async with to_slack():
        await bench.raise_(*alerts_to(an_alert, "team", 1))
        await bench.until(lambda: _count(bench, "failed", 1))
        await bench.raise_(*alerts_to(an_alert, "team", 1))
        await bench.until(lambda: _delivered(bench, 1))
    (failed,) = await bench.deliveries(state="failed")
    assert (failed.tries, failed.detail) == (1, "invalid_blocks")


async def test_parts_of_a_long_message_arrive_once_each(
    bench: Any, to_slack: Any, slack: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """One that fails between two parts goes on where it stopped, also in another process."""
    await team(bench)
    text = "".join(f"{n:07} " for n in range(8 * 1024))

    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async def take(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        slack.accept(body)
        return web.json_response({"ok": True, "channel": "#alerts", "ts": "1.0"})

    slack.faults.extend([take, take, fail])
    async with to_slack(clock):
        await bench.raise_(an_alert(destinations=("team",), text=text, matches=()))
        await bench.until(lambda: _tried(bench))
    assert len(slack.messages) == 2
    clock.advance(ms=10_000)
    async with to_slack(clock):
        await bench.until(lambda: _delivered(bench, 1))
    assert "".join(texts(slack)) == text
    assert len(slack.messages) == 6


async def _tried(bench: Any) -> bool:
    return any(one.tries and one.state.value == "pending" for one in await bench.deliveries())


async def _delivered(bench: Any, count: int) -> bool:
    return (await bench.states()).count("delivered") == count


async def _count(bench: Any, state: str, count: int) -> bool:
    return (await bench.states()).count(state) == count
