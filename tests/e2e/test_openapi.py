"""Both OpenAPI documents, tried by a stranger who reads nothing else: what they promise holds."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SHORT = ("--max-examples", "5", "--no-shrink")
LONG = ("--max-examples", "60")
PHASES = "examples,coverage,fuzzing,stateful"


@pytest.fixture
async def receipt(client_apart: Any) -> str:
    """Of a record that every store has taken in."""
    record = {"unique_identifier": "of-a-stranger", "Stream_A_unique_identifier": "x", "number": 1, "text": ""}
    answer = await client_apart.send("b", record)
    await client_apart.found("b", "of-a-stranger")
    return str(answer.json()["receipt"])


@pytest.mark.parametrize("length", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
@pytest.mark.parametrize("service", ["ingest", "query_api"])
async def test_a_stranger_finds_nothing(
    apart: Any, receipt: str, service: str, length: tuple[str, ...], tmp_path: Path
) -> None:
    """Every phase: its examples, every bound of every field, what is drawn at random, and calls one after the other."""
    stranger = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{apart.stack.profile.url(service)}/openapi.json"),
        *("--header", f"Authorization: {apart.headers['Authorization']}", "--phases", PHASES, *length),
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "RECEIPT": receipt},
        cwd=tmp_path,  # it leaves its cache behind
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await stranger.communicate()
    finally:
        if stranger.returncode is None:
            stranger.kill()
    assert stranger.returncode == 0, said.decode()
