"""What MongoDB's driver raises, in our words."""

from contextlib import AbstractContextManager
from typing import Final

from pymongo.errors import BulkWriteError

from common import mongo
from common.errors import TryLater

SERVICE: Final = "documents"

# Codes of what is wrong with one document as it is; any other failure may be the server's and pass.
_REFUSED: Final = {
    121,  # it fails the collection's validator
    10334,  # it is larger than 16 MiB
    17280,  # its key is too long for an index
    17419,  # it would become larger than 16 MiB
    17420,  # it would be larger than 16 MiB from the start
}


def translated(operation: str) -> AbstractContextManager[None]:
    """Time an operation and turn the driver's exceptions into ours, see `common.mongo`.

    A `BulkWriteError` passes, for it speaks of each write by itself.
    """
    return mongo.translated(SERVICE, operation, BulkWriteError)


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
