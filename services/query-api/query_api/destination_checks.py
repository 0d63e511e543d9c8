"""What a destination must be, kind by kind. Pure."""

import binascii
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from common.destinations import DestinationKind
from common.errors import Refused
from delivery.addresses import refusal_of_url
from delivery.mute import known_zone
from query_api.destination_views import DestinationChange

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)  # as Standard Webhooks asks for
_SLACK_HOST: Final = "hooks.slack.com"

Problem = tuple[str, str]
"""Where in the body, and what is wrong there."""


def new_signing_secret() -> str:
    """A signing secret as Standard Webhooks writes it."""
    return _PREFIX + b64encode(secrets.token_bytes(32)).decode()


def check(kind: DestinationKind, wanted: DestinationChange, *, first: bool, allow_loopback: bool) -> None:
    """Make sure that `wanted` can be a destination.

    Args:
        kind: of the destination.
        wanted: as it came.
        first: whether it is a new one, which has no secret yet.
        allow_loopback: whether it may be on this machine.

    Raises:
        Refused: invalid_destination, with everything that is wrong.
    """
    of_kind = _webhook if kind is DestinationKind.WEBHOOK else _slack
    problems = [*of_kind(wanted, first, allow_loopback), *_hours(wanted)]
    if problems:
        errors = [{"at": at, "detail": detail} for at, detail in problems]
        raise Refused("invalid_destination", f"{problems[0][0]}: {problems[0][1]}", errors=errors)


def check_signing_secret(secret: str) -> None:
    """Make sure that a receiver's library takes `secret`.

    Raises:
        Refused: invalid_destination.
    """
    problem = _problem_of_secret(secret)
    if problem is not None:
        error = {"at": "body.secret", "detail": problem}
        raise Refused("invalid_destination", f"body.secret: {problem}", errors=[error])


def _webhook(wanted: DestinationChange, first: bool, allow_loopback: bool) -> Iterator[Problem]:  # noqa: FBT001
    del first  # a secret is made where none is given
    refusal = refusal_of_url(wanted.url or "", allow_loopback=allow_loopback)
    if refusal is not None:
        yield "body.url", f"A webhook needs a URL that messages can be posted to: {refusal}."
    if wanted.secret is not None and (problem := _problem_of_secret(wanted.secret)):
        yield "body.secret", problem
    for name in ("token", "channel"):
        if getattr(wanted, name) is not None:
            yield f"body.{name}", "Only a destination of kind slack has one."


def _slack(wanted: DestinationChange, first: bool, allow_loopback: bool) -> Iterator[Problem]:  # noqa: FBT001
    if wanted.secret is not None:
        yield (
            "body.secret",
            "Only a webhook has one; Slack needs `token` and `channel`, or the `url` of an incoming webhook.",
        )
    if wanted.url is not None:
        yield from _incoming_webhook(wanted, wanted.url, allow_loopback)
    elif first and (wanted.token is None or wanted.channel is None):
        yield "body", "Slack needs `token` and `channel`, or the `url` of an incoming webhook."
    if wanted.token is not None and not (wanted.token.startswith("xox") and wanted.token.isascii()):
        yield "body.token", "A bot token begins with xoxb-."


def _incoming_webhook(wanted: DestinationChange, url: str, allow_loopback: bool) -> Iterator[Problem]:  # noqa: FBT001
    refusal = refusal_of_url(url, allow_loopback=allow_loopback)
    if refusal is not None:
        yield "body.url", f"That is no incoming webhook: {refusal}."
    elif urlsplit(url).hostname != _SLACK_HOST and not allow_loopback:
        yield "body.url", f"An incoming webhook of Slack is at {_SLACK_HOST}."
    if wanted.token is not None or wanted.channel is not None:
        yield "body", "Give `token` and `channel`, or the `url` of an incoming webhook, not both."


def _hours(wanted: DestinationChange) -> Iterator[Problem]:
    for index, hours in enumerate(wanted.mute):
        if not known_zone(hours.zone):
            yield f"body.mute[{index}].zone", f"{hours.zone[:64]!r} is no time zone; one is Europe/Berlin."


def _problem_of_secret(secret: str) -> str | None:
    try:
        size = len(b64decode(secret.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if secret.startswith(_PREFIX) and size in _SECRET_BYTES:
        return None
    return "A signing secret is whsec_ and 24 to 64 bytes in base64; leave it out to have one made."
