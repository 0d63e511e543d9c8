"""Which services a command talks to, and with which key: the command's global options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import typer

from common.errors import CannotStart
from localstack.profile import profile_from_environment
from twinstream.errors import CliError, MissingKeyError


@dataclass(frozen=True)
class Target:
    """Base URLs without a slash at their end; `key` is what was given, else one in `home` is read when it is needed."""

    url: str
    ingest_url: str
    key: str | None
    home: Path

    @classmethod
    def of(cls, url: str | None, ingest_url: str | None, key: str | None) -> Self:
        """What the options say, and where they say nothing, what `twinstream up` starts on this machine.

        Raises:
            CliError: a variable that says where that is does not fit.
        """
        try:
            local = profile_from_environment()
        except CannotStart as error:
            raise CliError("A setting does not fit", str(error)) from error
        return cls(url or local.url("query_api"), ingest_url or local.url("ingest"), key, local.home)

    @property
    def key_file(self) -> Path:
        """The file with the first API key."""
        return self.home / "key"

    def token(self) -> str:
        """The API key.

        Raises:
            MissingKeyError: there is none.
            CliError: what there is cannot be read, or is no key.
        """
        token = self.key if self.key is not None else self._kept()
        if not token:
            raise MissingKeyError(self.key_file)
        if not token.isascii() or not token.isprintable():
            raise CliError("That is no API key", "It holds characters that no key has.")
        return token

    def _kept(self) -> str:
        try:
            return self.key_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise CliError("The API key cannot be read", f"{self.key_file}: {error.strerror}.") from error


def target_of(context: typer.Context) -> Target:
    """What the global options say."""
    target: Target = context.obj
    return target


def base_url(value: str | None) -> str | None:
    """Check an option that holds a URL; takes slashes from its end."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        fits = False
    if not fits:
        raise typer.BadParameter(f"{value!r} is no address like http://127.0.0.1:8000")
    return value.rstrip("/")
