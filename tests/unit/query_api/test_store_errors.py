"""Whatever MongoDB's driver raises, callers meet an error of ours: wait and try again, or it is our own fault."""

import inspect

import bson.errors
import pymongo.errors
import pytest

from common.errors import TryLater
from query_api.store import translated

OURS: set[type[Exception]] = {pymongo.errors.InvalidName, pymongo.errors.InvalidOperation}
ALL: set[type[Exception]] = {
    kind
    for module in (pymongo.errors, bson.errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, pymongo.errors.PyMongoError | bson.errors.BSONError)
}


def raised(error: Exception) -> BaseException:
    """What comes out when a call to the driver raises `error`."""
    with pytest.raises(type(error) if type(error) in OURS else TryLater) as caught, translated("find"):
        raise error
    return caught.value


def test_all_are_looked_at() -> None:
    """The driver has some thirty; a rule that looks at none would hold for ever."""
    assert len(ALL) > 30
    assert ALL > OURS


@pytest.mark.parametrize("kind", sorted(ALL - OURS, key=str))
def test_what_a_store_may_do_is_waited_out(kind: type[Exception]) -> None:
    """A caller can do nothing else about it; the detail names the kind alone, and no host."""
    error = kind.__new__(kind, "db-17.internal:27017: connection refused")
    out = raised(error)
    assert str(out) == f"MongoDB is away or unwilling ({kind.__name__})"
    assert out.__cause__ is error


@pytest.mark.parametrize("kind", sorted(OURS, key=str))
def test_misuse_is_a_fault_of_ours(kind: type[Exception]) -> None:
    """It must not hide behind "try again later"."""
    error = kind("misused")
    assert raised(error) is error
