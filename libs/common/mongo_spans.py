"""What an exporter of traces is told of calls to MongoDB: the driver's own commands, never what is in them."""

from typing import Any, Final

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from common import spans

_COLLECTION_OF: Final = {"getMore": "collection"}
_WRITTEN: Final = {"insert": "documents", "update": "updates", "delete": "deletes"}

Ended = CommandSucceededEvent | CommandFailedEvent


class CommandSpans(CommandListener):
    """One span for each command that is sent for work that someone is told of, as the driver timed it."""

    def __init__(self) -> None:
        self._under_way: dict[int, tuple[str, spans.Attributes]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if spans.is_in_hand():
            self._under_way[event.request_id] = _about(event)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._ended(event, None)

    def failed(self, event: CommandFailedEvent) -> None:
        failure: Any = event.failure  # the server's answer, or the driver's where there was none
        self._ended(event, str(failure.get("codeName") or failure.get("errtype") or "failed"))

    def _ended(self, event: Ended, error: str | None) -> None:
        begun = self._under_way.pop(event.request_id, None)
        if begun is not None:
            name, about = begun
            spans.tell_call(name, event.duration_micros / 1e6, about, error)


def _about(event: CommandStartedEvent) -> tuple[str, spans.Attributes]:
    command: Any = event.command
    operation, (host, port) = event.command_name, event.connection_id
    about: dict[str, str | int] = {
        "db.system.name": "mongodb",
        "db.namespace": event.database_name,
        "db.operation.name": operation,
        "server.address": host,
        "server.port": port or 0,
    }
    collection = command.get(_COLLECTION_OF.get(operation, operation))
    if isinstance(collection, str):
        about["db.collection.name"] = collection
    if (written := len(command.get(_WRITTEN.get(operation, ""), ()))) > 1:
        about["db.operation.batch.size"] = written
    return f"{operation} {collection}" if isinstance(collection, str) else operation, about
