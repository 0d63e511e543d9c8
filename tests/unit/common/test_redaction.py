"""No secret reaches a log, wherever it comes from."""

import json
import subprocess
import sys

import pytest

from common.keys import make_key

_, TOKEN = make_key("a key", [], 0)
SECRETS = {
    "a key": (TOKEN, TOKEN.split("_")[2]),
    "a token": ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    "a password in an address": ("mongodb://ann:pa55word@host:27017/", "pa55word"),
    "a password without a user": ("rediss://:pa55word@host:6379/0", "pa55word"),
    "a webhook's secret": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    "a Slack token": ("xoxb-17653672481-19874698323", "17653672481-19874698323"),
}


SPEAKING = """
import logging, structlog, sys
from common.telemetry import configure_logging
configure_logging("tested", "INFO")
text = sys.stdin.read()
structlog.get_logger().info("told", field=text, nested={"inside": [text]}, detail=f"before {text} after")
try:
    int(text)
except ValueError as error:
    structlog.get_logger().error("failed", exc_info=error)
logging.getLogger("a.library").warning("cannot reach %s", text)
"""


def said(text: str) -> list[dict[str, object]]:
    """The lines of a process that speaks of `text`: as a field, within others, in an exception, through a library."""
    done = subprocess.run([sys.executable, "-c", SPEAKING], input=text, capture_output=True, text=True, check=True)  # noqa: S603
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=list(SECRETS))
def test_a_secret_is_taken_out_of_a_line(text: str, secret: str) -> None:
    """Wherever it stands; the line stays JSON, and what surrounds it stays."""
    told, failed, library = said(text)
    assert secret not in json.dumps([told, failed, library])
    assert all("[redacted]" in json.dumps(line) for line in (told, failed, library))
    assert str(told["detail"]).startswith("before ")
    assert str(told["detail"]).endswith(" after")


def test_what_is_no_secret_stays() -> None:
    """Addresses, ids of keys, and words that only begin like one."""
    plain = "http://127.0.0.1:8000/v1 mongodb://host:27017/?a=b 3f9a1c5be27d task_force_one eyJ"
    assert said(plain)[0]["field"] == plain
