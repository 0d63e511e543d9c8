"""Sends to webhooks by the Standard Webhooks specification."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import aiohttp
from standardwebhooks import Webhook

from common.alerts import StoredAlert
from common.clock import Clock
from common.deliveries import Attempt, Delivery
from common.destinations import Destination
from common.errors import Refused
from common.sealing import Seal
from signals.notifier.connections import reason
from signals.notifier.messages import body
from signals.notifier.outcomes import Outcome, Verdict

_EXCERPT_BYTES: Final = 500
_GONE: Final = 410


class WebhookSender:
    """One attempt is one POST, signed anew; a redirect is a failure like any other answer but 2xx."""

    def __init__(self, http: aiohttp.ClientSession, seal: Seal, clock: Clock, timeout_ms: int) -> None:
        self._http = http
        self._seal = seal
        self._clock = clock
        self._timeout_s = timeout_ms / 1000

    async def send(self, destination: Destination, delivery: Delivery, alerts: Sequence[StoredAlert]) -> Outcome:
        now_ms, began = self._clock.now_ms(), time.perf_counter()
        status, error, excerpt, asked_ms = None, None, None, 0
        try:
            content = body(delivery, alerts)
            headers = signed(self._secrets(destination, now_ms), delivery.id, now_ms, content)
            async with asyncio.timeout(self._timeout_s):
                async with self._http.post(
                    destination.url or "", data=content, headers=headers, allow_redirects=False
                ) as response:
                    status = response.status
                    asked_ms = _asked_ms(response.headers.get("Retry-After", ""))
                    excerpt = (await response.content.read(_EXCERPT_BYTES)).decode(errors="replace") or None
            error = None if response.ok and status < 300 else f"answered {status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            error = reason(failure)
        except Refused as refused:
            error = refused.detail
        latency_ms = round((time.perf_counter() - began) * 1000)
        attempt = Attempt(at=now_ms, latency_ms=latency_ms, status=status, error=error, response=excerpt)
        return Outcome(_verdict(status, error), attempt, asked_ms)

    def _secrets(self, destination: Destination, now_ms: int) -> list[str]:
        """The secrets that sign at the moment, the newest first."""
        sealed = [destination.secret]
        if destination.former_secret is not None and now_ms < (destination.former_until or 0):
            sealed.append(destination.former_secret)
        return [self._seal.open(destination.name, one) for one in sealed]


def signed(secrets: Sequence[str], message_id: str, now_ms: int, content: bytes) -> dict[str, str]:
    """The headers of a message, with a signature for each secret."""
    moment, text = datetime.fromtimestamp(now_ms // 1000, UTC), content.decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Twinstream",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, text) for secret in secrets),
    }


def _verdict(status: int | None, error: str | None) -> Verdict:
    if error is None:
        return Verdict.ARRIVED
    return Verdict.GONE if status == _GONE else Verdict.FAILED


def _asked_ms(retry_after: str) -> int:
    """Whole seconds; a date is not worth trusting a stranger's clock."""
    return int(retry_after) * 1000 if retry_after.isascii() and retry_after.isdecimal() and len(retry_after) < 9 else 0
