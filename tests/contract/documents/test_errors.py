"""Claims on the driver's exceptions: every one of them is an instruction of ours to whoever catches it."""

import pymongo.errors
import pytest
from pydantic import SecretStr
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)

from common.contracts import Stream
from common.errors import CannotStart, TryLater
from common.kafka.batches import Partition
from common.settings import MongoSettings
from documents.failures import refused, translated
from documents.store import DocumentStore

FAULT = "a fault of ours: it stays what it is"

EXPECTED = {
    "AutoReconnect": TryLater,
    "BulkWriteError": FAULT,  # looked into, write by write, by whoever made the bulk
    "ClientBulkWriteException": TryLater,
    "CollectionInvalid": TryLater,
    "ConfigurationError": CannotStart,
    "ConnectionFailure": TryLater,
    "CursorNotFound": TryLater,
    "DocumentTooLarge": FAULT,  # looked for by whoever made the bulk
    "DuplicateKeyError": TryLater,
    "EncryptedCollectionError": TryLater,
    "EncryptionError": TryLater,
    "ExecutionTimeout": TryLater,
    "InvalidName": FAULT,
    "InvalidOperation": FAULT,
    "InvalidURI": CannotStart,
    "NetworkTimeout": TryLater,
    "NotPrimaryError": TryLater,
    "OperationFailure": TryLater,
    "ProtocolError": TryLater,
    "PyMongoError": TryLater,
    "ServerSelectionTimeoutError": TryLater,
    "WTimeoutError": TryLater,
    "WaitQueueTimeoutError": TryLater,
    "WriteConcernError": TryLater,
    "WriteError": TryLater,
    "_OperationCancelled": TryLater,
}

MADE = {
    BulkWriteError: lambda: BulkWriteError({"writeErrors": []}),
    ClientBulkWriteException: lambda: ClientBulkWriteException({"writeErrors": []}, verbose=False),
}


def every_exception() -> dict[str, type[Exception]]:
    return {
        name: class_
        for name, class_ in vars(pymongo.errors).items()
        if isinstance(class_, type) and class_.__module__ == pymongo.errors.__name__ and issubclass(class_, Exception)
    }


def made(class_: type[Exception]) -> Exception:
    if class_ in MADE:
        return MADE[class_]()
    if class_ is pymongo.errors.EncryptedCollectionError:
        return class_(Exception("cause"), {})
    return class_(Exception("cause")) if class_ is pymongo.errors.EncryptionError else class_("what")


def test_the_table_knows_every_exception_of_the_driver() -> None:
    """A new one in a new version is looked at, not met at night."""
    assert set(every_exception()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_exception_says_what_to_do(name: str) -> None:
    class_ = every_exception()[name]
    expected = class_ if EXPECTED[name] is FAULT else EXPECTED[name]
    with pytest.raises(expected) as caught, translated("a test"):
        raise made(class_)
    assert caught.type is expected


@pytest.mark.parametrize("code", [13, 18, 8000])
def test_who_is_not_let_in_must_not_wait(code: int) -> None:
    """A wrong password does not mend itself: the process ends and says so."""
    with pytest.raises(CannotStart, match="auth"), translated("a test"):
        raise OperationFailure("auth failed", code)


def bulk_error(*codes: int, concern: bool = False) -> BulkWriteError:
    failures = [{"index": index, "code": code, "errmsg": f"code {code}"} for index, code in enumerate(codes)]
    return BulkWriteError({"writeErrors": failures, "writeConcernErrors": [{"code": 64}] if concern else []})


def test_a_bulk_that_refused_documents_for_good_names_them() -> None:
    assert refused(bulk_error(121, 17419)) == {0: "code 121", 1: "code 17419"}


@pytest.mark.parametrize(
    "error",
    [bulk_error(121, 11000), bulk_error(112), bulk_error(121, concern=True), bulk_error(concern=True)],
    ids=["one of them raced", "a conflict", "refused but not confirmed", "not confirmed"],
)
def test_a_bulk_that_may_yet_go_through_is_tried_again(error: BulkWriteError) -> None:
    """What is refused in it is found again the next time; nothing of it is put aside for a passing reason."""
    with pytest.raises(TryLater):
        refused(error)


async def test_a_server_that_is_away_is_tried_later(upsert) -> None:
    """Nothing listens there, and no call waits for longer than it may."""
    away = MongoSettings(mongo_uri=SecretStr("mongodb://127.0.0.1:1/"), mongo_timeout_ms=200)
    store = DocumentStore(away)
    calls = [
        store.upsert(Stream.B, [upsert()]),
        store.erase(Stream.B, {"x": 0}, 0),
        store.positions([Partition("records.b", 0)]),
        store.writing(Partition("records.b", 0)),
        store.move(Partition("records.b", 0), 0, 1),
        store.prepare(),
    ]
    for call in calls:
        with pytest.raises(TryLater, match="MongoDB did not take part"):
            await call
    await store.close()


@pytest.mark.parametrize("uri", ["mongodb://127.0.0.1:port/", "http://127.0.0.1/", "mongodb://"])
def test_a_connection_string_that_does_not_fit_names_its_variable(uri: str) -> None:
    with pytest.raises(CannotStart, match="TWINSTREAM_MONGO_URI"):
        DocumentStore(MongoSettings(mongo_uri=SecretStr(uri)))


def test_only_pymongo_errors_are_translated() -> None:
    """Anything else is a fault of ours, and must not be retried for ever."""
    with pytest.raises(ZeroDivisionError), translated("a test"):
        raise ZeroDivisionError
    assert issubclass(WaitQueueTimeoutError, PyMongoError)
    assert issubclass(DuplicateKeyError, OperationFailure)
