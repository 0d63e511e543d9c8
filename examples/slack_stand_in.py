"""A stand-in for Slack on this machine: takes messages as Slack does, refuses what Slack refuses, shows the rest.

    .venv/bin/python examples/slack_stand_in.py          # listens on 127.0.0.1:8090
    TWINSTREAM_SLACK_BASE_URL=http://127.0.0.1:8090/api/ make up

Then a destination of kind slack, with any token that begins with xoxb-, ends here. The tests use it too.
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

MAX_BLOCKS: Final = 50
MAX_SECTION: Final = 3_000
MAX_ALL: Final = 12_000

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SlackStandIn:
    """Slack's `chat.postMessage` and incoming webhooks, with one message a second for each channel."""

    def __init__(self, *, interval_s: float = 1.0, retry_after_s: int = 1) -> None:
        self.interval_s = interval_s
        self.retry_after_s = retry_after_s
        self.messages: list[dict[str, Any]] = []  # what it took: channel, text, blocks
        self.posts: list[tuple[str, int]] = []  # every post: its channel, and the status that it was answered with
        self.faults: deque[Fault] = deque()  # each answers one post in the place of Slack; some after it was taken
        self._free_at: dict[str, float] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/chat.postMessage", self._post_message)
        app.router.add_post("/services/{path:.*}", self._incoming)
        return app

    def limit(self, channel: str, seconds: float) -> None:
        """Answer 429 to whatever comes for `channel` for so long."""
        self._free_at[channel] = time.monotonic() + seconds

    async def _post_message(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        if not request.headers.get("Authorization", "").startswith("Bearer xoxb-"):
            return self._answered(body, web.json_response({"ok": False, "error": "invalid_auth"}))
        return await self._take(request, body, lambda error: web.json_response({"ok": False, "error": error}))

    async def _incoming(self, request: web.Request) -> web.StreamResponse:
        body = {**await _body(request), "channel": request.path}
        return await self._take(request, body, lambda error: web.Response(status=400, text=error))

    async def _take(
        self, request: web.Request, body: dict[str, Any], refuse: Callable[[str], web.Response]
    ) -> web.StreamResponse:
        if self.faults:
            return self._answered(body, await self.faults.popleft()(request))
        channel, now = body.get("channel", ""), time.monotonic()
        if now < self._free_at.get(channel, 0):
            headers = {"Retry-After": str(self.retry_after_s)}
            limited = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
            return self._answered(body, limited)
        error = _problem(body)
        if error is not None:
            return self._answered(body, refuse(error))
        self._free_at[channel] = now + self.interval_s
        self.accept(body)
        if request.path.startswith("/services"):
            return self._answered(body, web.Response(text="ok"))
        return self._answered(body, web.json_response({"ok": True, "channel": channel, "ts": f"{time.time():.6f}"}))

    def accept(self, body: dict[str, Any]) -> None:
        """Take a message; whoever watches sees it."""
        self.messages.append(body)

    def _answered(self, body: dict[str, Any], answer: web.StreamResponse) -> web.StreamResponse:
        self.posts.append((body.get("channel", ""), answer.status))
        return answer


async def _body(request: web.Request) -> dict[str, Any]:
    """The SDK sends JSON, or a form whose blocks are JSON."""
    if request.content_type == "application/json":
        body: dict[str, Any] = await request.json()
        return body
    form = {key: str(value) for key, value in (await request.post()).items()}
    return {**form, "blocks": json.loads(form.get("blocks", "[]"))}


def _problem(body: dict[str, Any]) -> str | None:
    """What Slack would say of a message that does not fit."""
    blocks = body.get("blocks", [])
    texts = [_text(block) for block in blocks]
    if not body.get("text") or any(not text for text in texts):
        return "no_text"
    if len(blocks) > MAX_BLOCKS or any(len(text) > MAX_SECTION for text in texts):
        return "invalid_blocks"
    return "msg_blocks_too_long" if sum(map(len, texts)) > MAX_ALL + 1_000 else None


def _text(block: dict[str, Any]) -> str:
    """All that a block shows."""
    if block["type"] == "rich_text":
        return "".join(element["text"] for section in block["elements"] for element in section["elements"])
    if block["type"] == "section":
        return str(block["text"]["text"])
    return "".join(element["text"] for element in block["elements"])


class _Shown(SlackStandIn):
    """Prints what it takes."""

    def accept(self, body: dict[str, Any]) -> None:
        super().accept(body)
        print(f"\n{body['channel']}  {body['text']}")  # for whoever watches
        for block in body.get("blocks", [])[1:]:
            print(f"    {_text(block)}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A stand-in for Slack.")
    arguments.add_argument("--port", type=int, default=8090)
    web.run_app(_Shown().app(), host="127.0.0.1", port=arguments.parse_args().port)
