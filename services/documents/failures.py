"""What MongoDB's driver raises, in our words."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bson.errors import BSONError
from pymongo.errors import BulkWriteError, InvalidName, InvalidOperation, PyMongoError

from common import metrics
from common.errors import TryLater
from common.mongo import failure_of

SERVICE: Final = "documents"

# Codes of what is wrong with one document as it is; any other failure may be the server's and pass.
_REFUSED: Final = {
    121,  # it fails the collection's validator
    10334,  # it is larger than 16 MiB
    17280,  # its key is too long for an index
    17419,  # it would become larger than 16 MiB
    17420,  # it would be larger than 16 MiB from the start
}


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Time an operation and turn the driver's exceptions into ours.

    A `BulkWriteError` passes, for it speaks of each write by itself, and so does a misuse of the driver, which is a
    fault of ours.

    Raises:
        CannotStart: MongoDB does not let us in, or the configuration does not fit.
        TryLater: anything else.
    """
    started = time.perf_counter()
    try:
        yield
    except (BulkWriteError, InvalidOperation, InvalidName, BSONError):
        raise
    except PyMongoError as error:
        raise failure_of(operation, error) from error
    finally:
        metrics.STORE_SECONDS.labels(SERVICE, operation).observe(time.perf_counter() - started)


def refused(error: BulkWriteError) -> dict[int, str]:
    """What is wrong with each refused write, by index.

    Raises:
        TryLater: a write failed that may yet succeed, or the writes were not confirmed.
    """
    failures = error.details["writeErrors"]
    passing = {failure["code"] for failure in failures if failure["code"] not in _REFUSED}
    if passing or error.details["writeConcernErrors"]:
        raise TryLater(f"MongoDB did not take every write: codes {sorted(passing)}") from error
    return {failure["index"]: failure["errmsg"] for failure in failures}
