"""Requests whose head is too large or never ends, or whose body stops halfway: uvicorn would wait for ever."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 64 * 1024  # address and headers together; an id of 256 characters takes 3 KiB of it at most
HEAD_WITHIN_S: Final = 15.0
FIRST_BYTE_WITHIN_S: Final = 75.0
BODY_SILENT_FOR_S: Final = 60.0

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """Closes a connection whose request does not begin as one should, or does not go on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        super().connection_made(transport)
        self._refused, self._in_head, self._taken = False, True, 0
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(FIRST_BYTE_WITHIN_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head and not self._taken:
            self._unset_deadline()
            self._deadline = self.loop.call_later(HEAD_WITHIN_S, self._refuse, _TOO_SLOW)
        self._taken += len(data)
        super().data_received(data)
        if self._in_head and self._taken > HEAD_BYTES and not self._refused:
            self._refuse(_TOO_LARGE)
        elif not self._in_head and not self._refused:
            self._expect_more()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unset_deadline()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        elif not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._taken = True, 0
        self._unset_deadline()
        if not self._refused:
            super().on_message_complete()

    def _expect_more(self) -> None:
        """Of the body: what has come of it is kept for as long as this connection."""
        self._unset_deadline()
        self._deadline = self.loop.call_later(BODY_SILENT_FOR_S, self._end_silence)

    def _end_silence(self) -> None:
        if self.flow.read_paused:  # it is us who did not listen
            self._expect_more()
        elif self.cycle.response_started:  # before all of the body had come, and so without it
            self.transport.close()
        else:
            self._refuse(_TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        self._refused = True
        self._unset_deadline()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
