"""The frame of an HTTP app: problems, traces, metrics, health and a documented OpenAPI."""

import asyncio
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

import msgspec
import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import contracts, metrics, spans
from common.errors import CannotStart
from common.health import Health
from common.http import problems
from common.http.auth import Authenticator, Throttle
from common.http.heads import BoundedHeads
from common.http.paths import KeepEncodedSlashes
from common.telemetry import begin_trace, trace_id

log = structlog.get_logger()

_QUIET: Final = frozenset({"/healthz", "/readyz"})
_HARDENING: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
)
_READING: Final = frozenset({"GET", "HEAD"})
_ADMINISTRATIVE: Final = frozenset({contracts.Scope.ADMIN, contracts.Scope.RULES})
_REF: Final = "#/components/schemas/{name}"
_CLOSING: Final = ((b"connection", b"close"),)
_DRAIN_POLL_S: Final = 0.02
_KEEP_ALIVE_S: Final = 75  # longer than clients keep an idle connection, so that they close it, not we under a request


def create_app(  # noqa: PLR0913  # by name, each once, from a composition root
    service: str,
    *,
    title: str,
    description: str,
    authenticator: Authenticator,
    health: Health,
    throttle: Throttle | None = None,
    origins: Sequence[str] = (),
    schemas: Sequence[type[msgspec.Struct]] = (),
    examples: Mapping[str, object] | None = None,
) -> FastAPI:
    """An app with everything but its routes; run it with `serve`.

    Args:
        service: its name in metrics.
        title: of the OpenAPI document.
        description: of the OpenAPI document, Markdown.
        authenticator: who knows the keys.
        health: what /healthz and /readyz answer from.
        throttle: who knows how much each caller may still ask for.
        origins: whose pages may call from a browser.
        schemas: structs that routes refer to as `schema_of(struct)`.
        examples: what routes refer to as `example_of(name)`: builtins and structs.
    """
    app = FastAPIOffline(  # /docs loads nothing from strangers, and works with no network
        redoc_url=None,
        title=title,
        description=description,
        version=version("twinstream"),
        responses=problems.documented("internal"),
        separate_input_output_schemas=False,
        redirect_slashes=False,  # one address for a thing; a redirect would also mistake an id that ends in a slash
    )
    app.state.authenticator, app.state.throttle = authenticator, throttle
    app.state.draining = False
    problems.install(app)
    _add_health(app, health)
    _describe(app, schemas, examples or {})
    app.add_middleware(KeepEncodedSlashes)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "content-encoding", "idempotency-key", "traceparent"],
            expose_headers=["location", "retry-after", "x-trace-id", "idempotency-replayed"],
        )
    app.add_middleware(Observed, service=service)
    return app


async def serve(  # noqa: PLR0913  # by name, each once, from a composition root
    app: FastAPI,
    host: str,
    port: int,
    stop: asyncio.Event,
    listening: asyncio.Event | None = None,
    *,
    drain_ms: int = 1_000,
) -> None:
    """Answer requests until `stop` is set; what is in flight then is finished first.

    `listening` is set while clients can connect, so that a process need not say that it is ready before. From the stop
    on new connections are refused. Those that are open are served for up to `drain_ms` more, each told to close with
    its next answer: no client loses a request that it has sent, and a balancer has another replica for the next one.

    Raises:
        CannotStart: the address cannot be listened on.
    """
    config = uvicorn.Config(
        app,
        http=BoundedHeads,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=30,
    )
    server = _Server(config, app, drain_ms / 1000)

    async def exit_when_stopped() -> None:
        await stop.wait()
        if listening is not None:
            listening.clear()
        server.should_exit = True

    with _listen(host, port) as listener:
        if listening is not None:
            listening.set()
        watching = asyncio.create_task(exit_when_stopped(), name="stop")
        try:
            await server.serve([listener])
        finally:
            watching.cancel()
            if listening is not None:
                listening.clear()


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: `common.process` has the only ones; and with patience at the end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._app.state.draining = True
        deadline = time.monotonic() + self._drain_s
        while self.server_state.connections and time.monotonic() < deadline:  # noqa: ASYNC110  # uvicorn tells no one
            await asyncio.sleep(_DRAIN_POLL_S)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Bind here, for uvicorn would end the process in its own words."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error


class Observed:
    """Begins or continues a request's trace, counts it, times it and logs it."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        caller = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        traceparent = begin_trace(caller.decode("latin-1"))
        trace = trace_id(traceparent).encode()
        begun = spans.begin_request(traceparent, caller.decode("latin-1"))
        status = 500

        async def send_traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = _CLOSING if scope["app"].state.draining else ()
                message["headers"] = [*message["headers"], (b"x-trace-id", trace), *_HARDENING, *closing]
            await send(message)

        try:
            await self._app(scope, receive, send_traced)
        finally:
            took_s = time.perf_counter() - started
            self._record(scope, status, took_s)
            if begun is not None:
                _tell(scope, status, took_s, begun)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.HTTP_REQUESTS.labels(self._service, scope["method"], route, status).inc()
        metrics.HTTP_SECONDS.labels(self._service, route).observe(seconds)
        if route not in _QUIET:
            log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 2))
        _audit(scope, route, status)


def _tell(scope: Scope, status: int, took_s: float, begun: spans.Begun) -> None:
    """Tell whoever exports traces, in the words of OpenTelemetry's conventions."""
    method, route = scope["method"], getattr(scope.get("route"), "path", "none")
    about: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    spans.tell_request(begun, f"{method} {route}", took_s, about)


def _audit(scope: Scope, route: str, status: int) -> None:
    """Tell who did what to keys, rules and whatever else decides over others, whether it succeeded or not."""
    state = scope.get("state", {})
    if scope["method"] in _READING or state.get("scope") not in _ADMINISTRATIVE:
        return
    caller = state["caller"]
    log.info(
        "administrative_act",
        who=caller.name,
        key_id=caller.id,
        method=scope["method"],
        route=route,
        target=scope.get("path_params", {}),
        status=status,
    )


def _add_health(app: FastAPI, health: Health) -> None:
    status = {"status": "ok"}

    @app.get("/healthz", tags=["health"], summary="Whether the process lives", responses=_status_examples(status))
    async def healthz() -> JSONResponse:
        return JSONResponse(status)

    @app.get(
        "/readyz",
        tags=["health"],
        summary="Whether the process can do its work",
        responses=_status_examples({"status": "ok", "problems": {}}) | problems.documented("unavailable"),
    )
    async def readyz() -> JSONResponse:
        found = health.problems()
        if found:
            detail = "; ".join(f"{name}: {what}" for name, what in found.items())
            return problems.problem("unavailable", detail, headers={"Retry-After": "1"}, problems=found)
        return JSONResponse({"status": "ok", "problems": {}})


def _status_examples(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"schema": {"type": "object"}, "example": example}}}}


def schema_of(struct: type[msgspec.Struct]) -> dict[str, str]:
    """A reference to the schema of a struct that `create_app` was told of."""
    return {"$ref": _REF.format(name=struct.__name__)}


def example_of(name: str) -> dict[str, str]:
    """A reference to an example that `create_app` was told of."""
    return {"$ref": f"#/components/examples/{name}"}


def _describe(app: FastAPI, structs: Sequence[type[msgspec.Struct]], examples: Mapping[str, object]) -> None:
    """Put our schemas and examples into the OpenAPI document and take FastAPI's own validation error out.

    Here, and not at the routes, for FastAPI drops every null out of what routes tell it.
    """
    generate = app.openapi
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    told = {
        name: {"summary": name.replace("_", " ").capitalize(), "value": msgspec.json.decode(msgspec.json.encode(value))}
        for name, value in examples.items()
    }

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            components = document.setdefault("components", {})
            components["schemas"] = {
                **{name: s for name, s in components.get("schemas", {}).items() if "ValidationError" not in name},
                **schemas,
                "Problem": problems.PROBLEM_SCHEMA,
            }
            components["examples"] = told
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
