"""Errors of ours as answers: whoever asked is told what to do, and no more."""

import httpx
import pytest
from fastapi import FastAPI

from common.errors import CannotStart, TryLater
from common.http import problems


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [(TryLater("Kafka is away", 2.5), "3"), (CannotStart("MongoDB refused us at host-7"), "10")],
    ids=lambda value: type(value).__name__,
)
async def test_a_part_that_does_not_serve_is_unavailable(error: Exception, retry_after: str) -> None:
    """Also one that a running process was let into before: no fault of ours, and nobody is told where it is."""
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == retry_after
    assert "host-7" not in answer.text
