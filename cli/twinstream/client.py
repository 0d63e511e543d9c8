"""The HTTP client of every command: typed calls, errors a person can read, and patience with services that are away."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from common.contracts import Scope, Stream
from common.receipts import decode_receipt, encode_receipt
from twinstream.errors import ProblemError, RecordError, UnreachableError
from twinstream.retries import TRANSIENT, RetryPolicy, retry_after_s
from twinstream.target import Target

T = TypeVar("T")

LOOKUPS: Final = RetryPolicy(patience_s=10.0)
MAX_PAGE: Final = 1000
NOT_YET: Final = "not_yet"

# Longer than ingest takes to answer that Kafka is away. A batch that is given up on here and written there all the same
# would come after its own repetition and the batch that followed.
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
_NO_PROXY: Final[Mapping[str, None]] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class Ingested(msgspec.Struct):
    """What ingest answers."""

    accepted: int
    rejected: int
    errors: list[RecordError] = []
    receipt: str | None = None


class Receipt(msgspec.Struct):
    """What an erasure answers."""

    receipt: str


class Page(msgspec.Struct):
    """A piece of a list; items as the service wrote them."""

    items: list[msgspec.Raw]
    next_cursor: str | None = None


class _Problem(msgspec.Struct):
    title: str
    detail: str = ""
    code: str | None = None
    trace_id: str | None = None
    errors: msgspec.Raw = msgspec.Raw(b"[]")


class Client:
    """Calls to the services of a `Target`; an async context manager.

    Args:
        target: where they are.
        retries: how long a call that may still go through is repeated. Where nothing ever answered, it is not.
        waiting: told (why, seconds) before each wait.
        sleep: how it waits.
    """

    def __init__(
        self,
        target: Target,
        *,
        retries: RetryPolicy = LOOKUPS,
        waiting: Callable[[str, float], None] = lambda _why, _seconds: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._target = target
        self._retries = retries
        self._waiting = waiting
        self._sleep = sleep
        self._reached = False
        self._written: dict[tuple[str, int], int] = {}
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {target.token()}", "User-Agent": "twinstream"},
            timeout=_TIMEOUT,
            mounts=_NO_PROXY,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    # --- ingest -----------------------------------------------------------------------------------------------------

    async def ingest(self, stream: Stream, lines: bytes) -> Ingested:
        """Send records as NDJSON; returns once the log holds those that were accepted."""
        url = f"{self._target.ingest_url}/v1/streams/{stream}/records"
        headers = {"Content-Type": "application/x-ndjson"}
        answer = decoded(await self._call("POST", url, content=lines, headers=headers), Ingested)
        if answer.receipt is not None:
            for place, offset in decode_receipt(answer.receipt).items():
                self._written[place] = max(offset, self._written.get(place, 0))
        return answer

    @property
    def receipt(self) -> str | None:
        """Stands for all that this client sent; None before anything was written."""
        return encode_receipt(self._written) if self._written else None

    # --- query-api --------------------------------------------------------------------------------------------------

    async def finds_all_of(self, receipt: str) -> bool:
        """Whether lookups find all that `receipt` stands for, now or within a second."""
        waiting = {"wait_for": receipt, "timeout_ms": "1000"}
        body = msgspec.json.encode({"ids": ["any"]})
        headers = {"Content-Type": "application/json"}
        try:
            await self._call("POST", f"{self._target.url}/v1/b/lookup", params=waiting, content=body, headers=headers)
        except ProblemError as problem:
            if problem.code == NOT_YET:
                return False
            raise
        return True

    async def record(self, stream: Stream, record_id: str) -> msgspec.Raw:
        """The newest version of a record, as JSON."""
        return decoded(await self._call("GET", f"{self._target.url}/v1/{stream}/{segment(record_id)}"), msgspec.Raw)

    async def children(
        self, a_id: str, *, order: str, since: str | None = None, limit: int | None = None
    ) -> AsyncIterator[list[msgspec.Raw]]:
        """The B of an A, page by page, `limit` of them or all."""
        url = f"{self._target.url}/v1/a/{segment(a_id)}/b"
        left, cursor = limit, None
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            wanted = {"limit": str(size), "order": order, "since": since, "cursor": cursor}
            page = decoded(await self._call("GET", url, params=present(wanted)), Page)
            yield page.items
            left, cursor = None if left is None else left - len(page.items), page.next_cursor
            if cursor is None:
                return

    async def create_key(self, name: str, scopes: list[Scope]) -> msgspec.Raw:
        """Make an API key; the answer alone holds its token."""
        body = msgspec.json.encode({"name": name, "scopes": scopes})
        headers = {"Content-Type": "application/json"}
        return decoded(
            await self._call("POST", f"{self._target.url}/v1/keys", content=body, headers=headers), msgspec.Raw
        )

    async def keys(self) -> list[msgspec.Raw]:
        """All API keys, revoked ones too."""
        return decoded(await self._call("GET", f"{self._target.url}/v1/keys"), Page).items

    async def revoke_key(self, key_id: str) -> None:
        """Revoke an API key; doing it again changes nothing."""
        await self._call("DELETE", f"{self._target.url}/v1/keys/{segment(key_id)}")

    async def count(self, stream: Stream, asked: Mapping[str, str | None], *, series: bool) -> msgspec.Raw:
        """How many of a stream lie in a window, at once or step by step."""
        url = f"{self._target.url}/v1/counts/{stream}" + ("/series" if series else "")
        return decoded(await self._call("GET", url, params=present(asked)), msgspec.Raw)

    async def conditions(self) -> list[msgspec.Raw]:
        """All conditions."""
        return decoded(await self._call("GET", f"{self._target.url}/v1/conditions"), Page).items

    async def create_condition(self, name: str, stream: Stream, expression: str, *, per_a: bool) -> msgspec.Raw:
        """Make a condition."""
        body = {"name": name, "stream": stream, "expression": expression, "per_a": per_a}
        return await self._send_json("POST", f"{self._target.url}/v1/conditions", body)

    async def change_condition(self, name: str, expression: str, *, per_a: bool) -> msgspec.Raw:
        """Change a condition."""
        url = f"{self._target.url}/v1/conditions/{segment(name)}"
        return await self._send_json("PUT", url, {"expression": expression, "per_a": per_a})

    async def delete_condition(self, name: str) -> None:
        """Delete a condition."""
        await self._call("DELETE", f"{self._target.url}/v1/conditions/{segment(name)}")

    async def rejected(self, filters: Mapping[str, str | None], *, limit: int) -> AsyncIterator[list[msgspec.Raw]]:
        """The rejected records, the newest first, page by page, up to `limit` of them."""
        left, cursor = limit, None
        while left > 0:
            wanted = {**filters, "limit": str(min(left, MAX_PAGE)), "cursor": cursor}
            page = decoded(await self._call("GET", f"{self._target.url}/v1/rejected", params=present(wanted)), Page)
            yield page.items
            left, cursor = left - len(page.items), page.next_cursor
            if cursor is None:
                return

    async def rejected_record(self, rejected_id: str) -> msgspec.Raw:
        """A rejected record with its bytes."""
        return decoded(await self._call("GET", f"{self._target.url}/v1/rejected/{segment(rejected_id)}"), msgspec.Raw)

    async def replay(self, items: list[dict[str, object]], *, dry_run: bool) -> list[msgspec.Raw]:
        """Put rejected records into the log again, or say what would be accepted."""
        found: list[msgspec.Raw] = []
        for start in range(0, len(items), MAX_PAGE):
            body = {"items": items[start : start + MAX_PAGE], "dry_run": dry_run}
            answer = await self._send_json("POST", f"{self._target.url}/v1/rejected/replay", body)
            found += msgspec.json.decode(answer, type=Page).items
        return found

    async def erase(self, stream: Stream, record_id: str) -> str:
        """Erase all that was sent under an id; returns a receipt to wait for."""
        answer = await self._call("DELETE", f"{self._target.url}/v1/{stream}/{segment(record_id)}")
        return decoded(answer, Receipt).receipt

    async def taken_in(self, stream: Stream, receipt: str) -> None:
        """Wait until lookups and counts have taken in what a receipt stands for.

        Raises:
            ProblemError: they have not within half a minute.
        """
        waiting = {"wait_for": receipt, "timeout_ms": "30000"}
        await self._call("GET", f"{self._target.url}/v1/a/{segment('?')}/b", params={**waiting, "limit": "1"})
        await self._call("GET", f"{self._target.url}/v1/counts/{stream}", params={**waiting, "hours": "1"})

    async def query_api(
        self, method: str, path: str, body: object = None, params: Mapping[str, str | None] | None = None
    ) -> msgspec.Raw:
        """Call query-api at `path`, which is encoded already: for commands that need no more of it than JSON."""
        url, wanted = self._target.url + path, present(params or {})
        if body is None:
            return decoded(await self._call(method, url, params=wanted), msgspec.Raw)
        return await self._send_json(method, url, body)

    async def ask(self, asked: Mapping[str, object], idempotency_key: str) -> msgspec.Raw:
        """Ask a query in SQL; it is not run twice, however often this is repeated."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        url = f"{self._target.url}/v1/analytics/queries"
        return decoded(await self._call("POST", url, content=msgspec.json.encode(asked), headers=headers), msgspec.Raw)

    async def query(self, query_id: str) -> msgspec.Raw:
        """How a query does."""
        return decoded(await self._call("GET", self._query_url(query_id)), msgspec.Raw)

    async def cancel_query(self, query_id: str) -> None:
        """Cancel a query; one that has ended stays as it is."""
        await self._call("DELETE", self._query_url(query_id))

    async def result(self, query_id: str, page: int) -> bytes:
        """A page of a result, as it was written."""
        answer = await self._call("GET", f"{self._query_url(query_id)}/result", params={"page": str(page)})
        return answer.content

    def _query_url(self, query_id: str) -> str:
        return f"{self._target.url}/v1/analytics/queries/{segment(query_id)}"

    # --- calls ------------------------------------------------------------------------------------------------------

    async def _send_json(self, method: str, url: str, body: object) -> msgspec.Raw:
        headers = {"Content-Type": "application/json"}
        return decoded(await self._call(method, url, content=msgspec.json.encode(body), headers=headers), msgspec.Raw)

    async def _call(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Make a call until it succeeds or must be given up.

        Raises:
            UnreachableError: nothing answers.
            ProblemError: the service refuses it, or cannot do it for longer than patience lasts.
        """
        began, failures = asyncio.get_running_loop().time(), 0
        while True:
            asked_s: float | None = None
            failure: ProblemError | UnreachableError
            try:
                response = await self._http.request(method, url, params=params, content=content, headers=headers)
            except httpx.RequestError as error:
                failure = UnreachableError(_root(url), _reason(error))
                may_pass = self._reached
            else:
                self._reached = True
                if response.is_success:
                    return response
                failure = _problem(response)
                asked_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
                # Who waited for a receipt, and for no longer, has been answered.
                may_pass = response.status_code in TRANSIENT and failure.code != NOT_YET
            failures += 1
            wait_s = self._retries.wait_s(failures, asked_s, random.random())  # noqa: S311  # spreads clients, no secret
            elapsed_s = asyncio.get_running_loop().time() - began
            if not may_pass or not self._retries.allows(elapsed_s, wait_s):
                raise failure
            self._waiting(failure.title, wait_s)
            await self._sleep(wait_s)


def segment(record_id: str) -> str:
    """An id as one segment of a path: slashes encoded, and dots where a path would be shortened by them."""
    encoded = quote(record_id, safe="")
    return encoded.replace(".", "%2E") if record_id in {".", ".."} else encoded


def present(values: Mapping[str, str | None]) -> dict[str, str]:
    """Query parameters that were given."""
    return {name: value for name, value in values.items() if value is not None}


def decoded(response: httpx.Response, type_: type[T]) -> T:
    """An answer as a `type_`; one that does not fit is a stranger's."""
    try:
        return msgspec.json.decode(response.content, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _stranger(response, f"its answer does not fit: {error}") from None


def _problem(response: httpx.Response) -> ProblemError:
    try:
        body = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _stranger(response, f"it answered {response.status_code} {response.reason_phrase}")
    try:
        errors = msgspec.json.decode(body.errors, type=list[RecordError])
    except msgspec.MsgspecError:  # errors of parameters and fields look otherwise; the detail tells them
        errors = []
    return ProblemError(
        body.title, body.detail, body.code, status=response.status_code, trace_id=body.trace_id, errors=errors
    )


def _stranger(response: httpx.Response, what: str) -> ProblemError:
    """For an answer that none of our services gives."""
    return ProblemError(
        f"What answers at {response.url} does not speak as Twinstream does",
        f"{what}. Check --url and --ingest-url.".capitalize(),
        None,
        status=response.status_code,
        trace_id=None,
        errors=[],
    )


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _reason(error: httpx.RequestError) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
