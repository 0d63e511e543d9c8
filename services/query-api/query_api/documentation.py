"""How routes describe in OpenAPI what they take and what they answer, each with examples."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from common.http.app import example_of, schema_of
from common.http.problems import documented

GUARDED: Final = ("unauthenticated", "forbidden", "invalid_parameter", "rate_limited", "internal")
"""What every route that needs a key may answer."""

BODY: Final = ("empty_body", "invalid_json", "invalid_body", "body_too_large", "unsupported_media_type")
"""What a route with a JSON body may answer besides."""


def answers(
    status: int, description: str, struct: type[msgspec.Struct], *problems: str, examples: Sequence[str]
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its success, told by examples of `struct`, and the codes of its problems."""
    success = {"description": description, "content": _json(struct, examples)}
    return {status: success, **documented(*GUARDED, *problems)}


def takes(struct: type[msgspec.Struct], *, examples: Sequence[str]) -> dict[str, Any]:
    """The `openapi_extra` of a route with a JSON body."""
    return {"requestBody": {"required": True, "content": _json(struct, examples)}}


def choices(**values: object) -> dict[str, Any]:
    """The `openapi_examples` of a parameter: values by what they stand for."""
    return {name: {"summary": name.replace("_", " ").capitalize(), "value": value} for name, value in values.items()}


def _json(struct: type[msgspec.Struct], examples: Sequence[str]) -> dict[str, Any]:
    told = {name: example_of(name) for name in examples}
    return {"application/json": {"schema": schema_of(struct), "examples": told}}
