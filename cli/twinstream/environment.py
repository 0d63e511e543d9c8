"""What a service's module is told when the command runs it: what a service finds, and for the rest what `up` says."""

import os

from common.errors import CannotStart
from common.settings import secret_files
from localstack.profile import profile_from_environment
from twinstream.errors import CliError


def environment_with(settings: dict[str, str]) -> dict[str, str]:
    """The environment of the module; `settings` come before everything else.

    Raises:
        CliError: a port or folder does not fit.
    """
    try:
        local, told = profile_from_environment().environment(), os.environ.keys() | secret_files()
    except CannotStart as error:
        raise CliError("It cannot start", str(error)) from error
    return {**{name: value for name, value in local.items() if name not in told}, **os.environ, **settings}
