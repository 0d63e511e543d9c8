"""Sends to Slack through its SDK: with an app's bot token to a channel, or through an incoming webhook.

The SDK's own handlers of 429 and of lost connections are off: they sleep within a call while other calls to the same
channel go on. A lane has one message on its way at a time, and pauses its channel alone.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from common.alerts import StoredAlert
from common.clock import Clock
from common.deliveries import Attempt, Delivery
from common.destinations import Destination
from common.errors import Refused
from common.sealing import Seal
from signals.notifier.connections import reason
from signals.notifier.outcomes import Outcome, Verdict
from signals.notifier.slack_messages import Message, slack_messages

_LIMITED: Final = 429
_GONE: Final = 410
_SHORTEST_PAUSE_MS: Final = 1_000
_TOO_MUCH: Final = {"ratelimited", "rate_limited", "message_limit_exceeded"}
_NEVER: Final = {
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_payload",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
}
"""What Slack says of a message that it will not take as it is."""

# At DEBUG it would write an incoming webhook's URL, which is a secret, into the log.
_QUIET: Final = logging.getLogger("twinstream.slack_sdk")
_QUIET.setLevel(logging.WARNING)


class _Answer(NamedTuple):
    """What Slack answered; `error` is None where it took the message."""

    status: int | None
    error: str | None
    headers: Mapping[str, Any]


class SlackSender:
    """One attempt is one post: a message in several parts takes several, with the channel's pace between them."""

    def __init__(
        self, http: aiohttp.ClientSession, seal: Seal, clock: Clock, *, base_url: str, timeout_ms: int
    ) -> None:
        self._http = http
        self._seal = seal
        self._clock = clock
        self._base_url = base_url
        self._timeout_s = timeout_ms / 1000

    async def send(self, destination: Destination, delivery: Delivery, alerts: Sequence[StoredAlert]) -> Outcome:
        messages = slack_messages(delivery, alerts)
        now_ms, began = self._clock.now_ms(), time.perf_counter()
        answer = await self._answer(destination, messages[min(delivery.parts_done, len(messages) - 1)])
        attempt = Attempt(
            at=now_ms,
            latency_ms=round((time.perf_counter() - began) * 1000),
            status=answer.status,
            error=answer.error,
        )
        done = delivery.parts_done + (answer.error is None)
        verdict = _verdict(answer, done, len(messages))
        return Outcome(verdict, attempt, _asked_ms(answer, verdict), done)

    async def _answer(self, destination: Destination, message: Message) -> _Answer:
        try:
            secret = self._seal.open(destination.name, destination.secret)
            async with asyncio.timeout(self._timeout_s):
                if destination.channel is not None:
                    return await self._post(secret, destination.channel, message)
                return await self._post_incoming(secret, message)
        except SlackApiError as error:
            return _told(error)
        except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError, ValueError) as error:
            return _Answer(None, reason(error), {})
        except Refused as refused:
            return _Answer(None, refused.detail, {})

    async def _post(self, token: str, channel: str, message: Message) -> _Answer:
        client = AsyncWebClient(token, base_url=self._base_url, session=self._http, retry_handlers=[], logger=_QUIET)
        client.proxy = None  # the SDK would take one out of the environment, which would connect in our stead
        response = await client.chat_postMessage(channel=channel, unfurl_links=False, unfurl_media=False, **message)
        return _Answer(response.status_code, None, response.headers)

    async def _post_incoming(self, url: str, message: Message) -> _Answer:
        client = AsyncWebhookClient(url, session=self._http, retry_handlers=[], logger=_QUIET)
        client.proxy = None
        response = await client.send(text=message["text"], blocks=message["blocks"])
        error = None if response.status_code == 200 else response.body[:200] or f"answered {response.status_code}"
        return _Answer(response.status_code, error, response.headers)


def _told(error: SlackApiError) -> _Answer:
    """An error of Slack's; where its answer was no JSON, the SDK gives aiohttp's response instead of its own."""
    response: Any = error.response
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    return _Answer(status, code or f"answered {status}", getattr(response, "headers", {}))


def _verdict(answer: _Answer, done: int, parts: int) -> Verdict:
    if answer.error is None:
        return Verdict.ARRIVED if done >= parts else Verdict.CONTINUED
    if answer.status == _LIMITED or answer.error in _TOO_MUCH:
        return Verdict.PAUSED
    if answer.error in _NEVER:
        return Verdict.REFUSED
    return Verdict.GONE if answer.status == _GONE else Verdict.FAILED


def _asked_ms(answer: _Answer, verdict: Verdict) -> int:
    asked = str(answer.headers.get("Retry-After", ""))
    asked_ms = int(asked) * 1000 if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 0
    return max(asked_ms, _SHORTEST_PAUSE_MS) if verdict is Verdict.PAUSED else asked_ms
