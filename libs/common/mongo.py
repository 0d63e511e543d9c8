"""How every adapter of documents connects to MongoDB, and whether it is let in."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, InvalidName, InvalidOperation, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from common import metrics, spans
from common.contracts import Collections
from common.errors import CannotStart, TryLater, unfit_secret
from common.mongo_spans import CommandSpans
from common.settings import MongoSettings
from common.tls import Address, Way, check_way, presenting, trusting

Client = AsyncMongoClient[dict[str, Any]]

_CA_VARIABLE: Final = "TWINSTREAM_MONGO_CA_FILE"
_CERTIFICATE_VARIABLE: Final = "TWINSTREAM_MONGO_CERTIFICATE_FILE"
_NOT_LET_IN: Final = {13, 18, 8000}  # Unauthorized, AuthenticationFailed, AtlasError
_WITHIN_MS: Final = 3_000
_TRUSTS_ITSELF: Final = re.compile(r"[?&]tls(CA|Insecure|Allow|Certificate)", re.IGNORECASE)


def client_of(settings: MongoSettings, service: str) -> Client:
    """A client, which connects when it is first used.

    Raises:
        CannotStart: the address, the file of authorities or of our certificate does not fit.
    """
    _context(settings)
    files = {"tlsCAFile": settings.mongo_ca_file, "tlsCertificateKeyFile": settings.mongo_certificate_file}
    tls: dict[str, Any] = {option: file for option, file in files.items() if file}
    try:
        return AsyncMongoClient(
            settings.mongo_uri.get_secret_value(),
            timeoutMS=settings.mongo_timeout_ms,
            serverSelectionTimeoutMS=settings.mongo_timeout_ms,
            appname=f"twinstream {service}",
            event_listeners=[CommandSpans()] if spans.is_listened_to() else [],
            **tls,
        )
    except (PyMongoError, ValueError) as error:  # a bad port is a ValueError
        raise CannotStart(unfit_secret("TWINSTREAM_MONGO_URI", error)) from None


def is_refusal(error: PyMongoError) -> bool:
    """Whether no waiting mends it: we are not let in, or the configuration does not fit."""
    return isinstance(error, ConfigurationError) or getattr(error, "code", None) in _NOT_LET_IN


def failure_of(operation: str, error: PyMongoError) -> CannotStart | TryLater:
    """What the driver's error is in our words: whether MongoDB is away for a while, or does not let us in at all."""
    if is_refusal(error):
        return CannotStart(f"MongoDB refused {operation}: {error}", "not_let_in")
    return TryLater(f"MongoDB did not take part in {operation}: {type(error).__name__}")


@contextmanager
def translated(service: str, operation: str, *passing: type[PyMongoError]) -> Iterator[None]:
    """Time an operation of a service that writes, and turn the driver's exceptions into ours.

    What is `passing` does, and so does a misuse of the driver: it is a fault of ours.

    Raises:
        CannotStart: MongoDB does not let us in, or the configuration does not fit.
        TryLater: anything else.
    """
    with metrics.store_call(service, operation):
        try:
            yield
        except PyMongoError as error:
            if isinstance(error, (*passing, InvalidOperation, InvalidName)):
                raise
            raise failure_of(operation, error) from error


async def check_mongo(client: Client, settings: MongoSettings) -> None:
    """Make sure at a start that MongoDB lets us read.

    Raises:
        CannotStart: it is there and does not; says why, by a code of its own.
        TryLater: it is away.
    """
    try:
        await client[settings.mongo_database][Collections.POSITIONS].find_one({}, {"_id": 1})
    except OperationFailure as error:
        if is_refusal(error):
            raise CannotStart(f"MongoDB does not let us in: {_told(error)}", "not_let_in") from None
        raise TryLater(f"MongoDB did not take part in a look at it: {type(error).__name__}") from error
    except PyMongoError as error:
        await check_way(_way(settings), _answers_plainly)
        raise TryLater(f"MongoDB did not take part in a look at it: {type(error).__name__}") from error


def _told(error: OperationFailure) -> str:
    """What the server said, without the whole answer that the driver puts behind it."""
    return str((error.details or {}).get("errmsg", type(error).__name__))


def _way(settings: MongoSettings) -> Way:
    context, switch = _context(settings), "tls=true in TWINSTREAM_MONGO_URI"
    return Way("MongoDB", list(_addresses(settings)), context, switch, _CA_VARIABLE, _CERTIFICATE_VARIABLE)


def _context(settings: MongoSettings) -> ssl.SSLContext | None:
    """What the driver makes of the same files; None without TLS."""
    if not settings.mongo_tls:
        return None
    context = trusting(settings.mongo_ca_file, _CA_VARIABLE)
    return presenting(context, settings.mongo_certificate_file, _CERTIFICATE_VARIABLE)


def _addresses(settings: MongoSettings) -> Iterator[Address]:
    uri = settings.mongo_uri.get_secret_value()
    # Names behind +srv would have to be asked for; who says himself whom to trust would be looked at with another's.
    if not (uri.startswith("mongodb+srv://") or _TRUSTS_ITSELF.search(uri)):
        for host, port in parse_uri(uri)["nodelist"]:
            if port is not None:
                yield host, port


async def _answers_plainly(host: str, port: int) -> bool:
    async with Client(host, port, directConnection=True, serverSelectionTimeoutMS=_WITHIN_MS) as client:
        with suppress(PyMongoError):
            await client.admin.command("hello")
            return True
    return False
