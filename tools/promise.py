"""Writes down what both HTTP services promise, for later versions to keep: `python tools/promise.py`.

Of every route: its parameters, its body and its answers; of every schema: its fields and their types. Out of the very
documents that the services answer at /openapi.json. `broken` says what a later one has taken away.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from common.health import Health
from common.http.app import create_app
from common.http.auth import Authenticator
from ingest.api import Limits, add_routes
from ingest.budget import Budget
from ingest.documentation import DESCRIPTION, SCHEMAS
from query_api import wiring

ROOT: Final = Path(__file__).parents[1]
FORMATS: Final = ROOT / "tests/formats"
VERSION: Final[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
FILE: Final = "promise.json"

Promise = dict[str, Any]


def present() -> dict[str, Promise]:
    """What each service promises now."""
    return {"ingest": promise(_ingest().openapi()), "query-api": promise(_query_api().openapi())}


def promise(document: Mapping[str, Any]) -> Promise:
    """What an OpenAPI document promises about `/v1`."""
    routes = {
        f"{method.upper()} {path}": _route(about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
        if path.startswith("/v1/")
    }
    schemas = {name: _fields(schema) for name, schema in document["components"]["schemas"].items()}
    return {"routes": routes, "schemas": schemas}


def broken(kept: Promise, now: Promise) -> list[str]:
    """What was promised and is no more, or is asked for and was not."""
    return [*_broken_routes(kept["routes"], now["routes"]), *_broken_schemas(kept, now)]


def _broken_routes(kept: Promise, now: Promise) -> Iterator[str]:
    for name, route in kept.items():
        if name not in now:
            yield f"{name} is gone"
            continue
        parameters, theirs = route["parameters"], now[name]["parameters"]
        yield from (f"{name}: parameter {one} is gone" for one in parameters.keys() - theirs.keys())
        asked = {one for one, required in theirs.items() if required and not parameters.get(one)}
        yield from (f"{name}: parameter {one} is asked for" for one in asked)
        for part in ("body", "answers"):
            for place, what in route[part].items():
                if not _keeps(what, now[name][part].get(place)):
                    yield f"{name}: {part} {place} was {what}"


def _broken_schemas(kept: Promise, now: Promise) -> Iterator[str]:
    for name, schema in kept["schemas"].items():
        theirs = now["schemas"].get(name)
        if theirs is None:
            yield f"{name} is gone"
            continue
        for field, kind in schema["fields"].items():
            if not _keeps(kind, theirs["fields"].get(field)):
                yield f"{name}.{field} was {kind}"
        if name in _sent(now["routes"]):
            yield from (f"{name}.{field} is asked for" for field in set(theirs["required"]) - set(schema["required"]))
        else:
            yield from (f"{name}.{field} may be absent" for field in set(schema["required"]) - set(theirs["required"]))


def _keeps(kind: str, now: str | None) -> bool:
    """Whether a type is what it was; a list of words may be given more of them."""
    if now is None:
        return False
    former, words = set(kind.strip("[]").split("|")), set(now.strip("[]").split("|"))
    return kind.startswith("[") == now.startswith("[") and former <= words and all(w[0] == '"' for w in words - former)


def _sent(routes: Promise) -> set[str]:
    """The schemas of what callers send."""
    kinds = [kind for route in routes.values() for kind in route["body"].values()]
    return {word.strip("[]") for kind in kinds for word in kind.split("|")}


def _route(about: Mapping[str, Any]) -> Promise:
    return {
        "parameters": {f"{one['in']} {one['name']}": one["required"] for one in about.get("parameters", ())},
        "body": {media: _kind(told.get("schema", {})) for media, told in _content(about.get("requestBody", {}))},
        "answers": {
            f"{status} {media}": _kind(told.get("schema", {}))
            for status, answer in about["responses"].items()
            if status.startswith("2")
            for media, told in _content(answer)
        },
    }


def _content(thing: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from thing.get("content", {}).items()


def _fields(schema: Mapping[str, Any]) -> Promise:
    fields = {name: _kind(part) for name, part in schema.get("properties", {}).items()}
    return {"fields": fields or {"": _kind(schema)}, "required": sorted(schema.get("required", ()))}


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in one word: `string|null`, `[ARecord|null]`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return "|".join(sorted(_kind(one) for one in schema[several]))
    if "enum" in schema:
        return "|".join(sorted(json.dumps(one) for one in schema["enum"]))
    if "items" in schema and isinstance(schema["items"], dict):
        return f"[{_kind(schema['items'])}]"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{{{_kind(schema['additionalProperties'])}}}"
    kind = schema.get("type", "any")
    return "|".join(sorted(kind)) if isinstance(kind, list) else str(kind)


def _ingest() -> FastAPI:
    nobody: Any = None  # no request is ever made to it
    app = create_app(
        "ingest",
        title="Twinstream ingest",
        description=DESCRIPTION,
        authenticator=_authenticator(),
        health=Health(),
        schemas=SCHEMAS,
    )
    add_routes(app, nobody, nobody, Limits(1, 1, Budget(1)))
    return app


def _query_api() -> FastAPI:
    nobody: Any = None
    return wiring._app(nobody, _authenticator(), Health(), None, ())  # noqa: SLF001  # the app without what it works with


def _authenticator() -> Authenticator:
    nobody: Any = None
    return Authenticator(nobody)


if __name__ == "__main__":
    (FORMATS / VERSION).mkdir(parents=True, exist_ok=True)
    written = json.dumps(present(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (FORMATS / VERSION / FILE).write_text(written, encoding="utf-8")
