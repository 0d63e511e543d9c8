"""`twinstream up`: the servers and every service, in the foreground."""

import asyncio
import os
from contextlib import redirect_stderr

from rich.text import Text

from common.errors import CannotStart, TryLater
from common.telemetry import configure_logging
from localstack.profile import profile_from_environment
from twinstream.console import out
from twinstream.errors import CliError
from twinstream.paths import shown
from twinstream.running.screen import screen_on


def up() -> None:
    """Start the servers and every service, and stay until Ctrl-C."""
    # Here, since the drivers that it asks the servers by would make every other command wait a second.
    from twinstream.running.session import session  # noqa: PLC0415

    try:
        profile = profile_from_environment()
        profile.logs.mkdir(parents=True, exist_ok=True)
        with (
            screen_on(out()) as screen,
            (profile.logs / "up.log").open("a", encoding="utf-8") as log,
            redirect_stderr(log),
        ):
            configure_logging("up", "INFO")
            os.environ.update(profile.environment())  # what the services are told holds here as well
            screen.say(Text(f"Twinstream, with its data in {shown(profile.home)}"))
            asyncio.run(session(profile, screen))
    except CannotStart as error:
        raise CliError("Twinstream cannot start", str(error)) from error
    except TryLater as error:
        raise CliError("Twinstream cannot start", f"{error}; the logs are in {shown(profile.logs)}") from error
    except OSError as error:
        raise CliError("Twinstream cannot keep its data", str(error)) from error
