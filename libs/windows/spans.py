"""What an exporter of traces is told of calls to Redis: which commands went out together, never what is in them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import urlsplit

from common import spans
from common.settings import RedisSettings

_DEFAULT_PORT: Final = 6379


class CallSpans:
    """One span for each round trip that is made for work that someone is told of."""

    def __init__(self, settings: RedisSettings) -> None:
        parts = urlsplit(settings.redis_url.get_secret_value())
        self._server: dict[str, str | int] = {
            "db.system.name": "redis",
            "db.namespace": parts.path.strip("/") or "0",
            "server.address": parts.hostname or "localhost",
            "server.port": parts.port or _DEFAULT_PORT,
        }

    def round_trip(self, commands: Sequence[Sequence[Any]]) -> AbstractContextManager[None]:
        """The span of what is sent within."""
        if not spans.is_in_hand():
            return spans.NOTHING
        names = {str(command[0]) for command in commands}
        operation = names.pop() if len(names) == 1 else ""
        about = dict(self._server)
        if len(commands) > 1:
            operation = f"PIPELINE {operation}".strip()
            about["db.operation.batch.size"] = len(commands)
        about["db.operation.name"] = operation
        return spans.calling(operation, about)
