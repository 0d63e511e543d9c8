"""Messages of the record topics: what each says, or why it cannot be taken."""

from typing import Final

import msgspec

from common.contracts import RECORD, Record, Stream
from common.decoding import UNREADABLE
from common.errors import Refused
from common.kafka.batches import Entry

_DECODERS: Final = {stream: msgspec.json.Decoder(type_) for stream, type_ in RECORD.items()}


def read_record(stream: Stream, entry: Entry) -> Record | str:
    """The record in `entry`; for a tombstone, the id that it erases.

    Raises:
        Refused: undecodable; it is neither.
    """
    if entry.value is None:
        return _erased_id(entry)
    try:
        record = _DECODERS[stream].decode(entry.value)
    except UNREADABLE as error:
        raise Refused("undecodable", f"It is no record of stream {stream.upper()}: {error}") from error
    if record.id.encode() != entry.key:  # then its versions do not stay in one partition, in one order
        raise Refused("undecodable", "Its key is not its unique_identifier.")
    return record


def _erased_id(entry: Entry) -> str:
    if entry.key is None:
        raise Refused("undecodable", "It is a tombstone with no key.")
    try:
        return entry.key.decode()
    except UnicodeDecodeError as error:
        raise Refused("undecodable", "It is a tombstone whose key is not UTF-8.") from error
