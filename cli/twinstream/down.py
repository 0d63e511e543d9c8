"""`twinstream down`: stops what an `up` in another terminal, or a killed one, left running."""

import signal
from typing import Final

from rich.console import Console
from rich.text import Text

from common.errors import CannotStart
from localstack.claims import Claim, Claims, stop_orphans, until_gone
from localstack.profile import profile_from_environment
from twinstream.console import out
from twinstream.errors import CliError

_PATIENCE_S: Final = 120.0  # more than all processes together may take to stop


def down() -> None:
    """Stop everything that `up` started. The data stays."""
    console = out()
    try:
        claims = Claims(profile_from_environment().run)
        asked = _ask(claims, console)
        with claims.held():
            orphans = stop_orphans(claims, lambda claim: console.print(Text(f"Stopping {claim.name}")))
    except CannotStart as error:
        raise CliError("It cannot be stopped", str(error)) from error
    console.print(Text("Stopped." if asked or orphans else "Nothing was running."))


def _ask(claims: Claims, console: Console) -> bool:
    """Have a running `up` stop everything in its own order; whether there was one."""
    supervisor: Claim | None = claims.supervisor()
    process = None if supervisor is None else supervisor.process()
    if process is None:
        return False
    console.print(Text(f"Asking `twinstream up` (pid {process.pid}) to stop everything"))
    process.send_signal(signal.SIGTERM)
    if not until_gone(process, _PATIENCE_S):
        console.print(Text(f"It did not within {_PATIENCE_S:.0f} s: killing it", style="red"))
        process.kill()
        until_gone(process, _PATIENCE_S)
    return True
