"""`twinstream reset`: deletes the data of the local default."""

import shutil
from typing import Annotated, Final

import typer
from rich.text import Text

from common.errors import CannotStart
from localstack.claims import Claims
from localstack.profile import Profile, profile_from_environment
from twinstream.console import out
from twinstream.errors import CliError
from twinstream.paths import shown

# By name, for TWINSTREAM_HOME may be a folder that holds other things as well. What `send` remembers goes too: what it
# has sent is in the log no more.
_DELETED: Final = ("data", "logs", "send", "key", "secret")


def reset(*, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete all records, keys and logs of the local default. Not while it runs."""
    try:
        profile = profile_from_environment()
        claims = Claims(profile.run)
        with claims.held():
            _check_nothing_runs(claims)
            if not yes:
                typer.confirm(f"Delete all data in {shown(profile.home)}?", abort=True)
            _delete(profile)
    except CannotStart as error:
        raise CliError("Nothing was deleted", str(error)) from error
    out().print(Text(f"Deleted. The next `twinstream up` begins anew in {shown(profile.home)}."))


def _check_nothing_runs(claims: Claims) -> None:
    running = [claim.name for claim in claims.all() if claim.process() is not None]
    if running:
        raise CannotStart(f"{', '.join(running)} still run: `twinstream down` stops them")


def _delete(profile: Profile) -> None:
    for name in _DELETED:
        path = profile.home / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
