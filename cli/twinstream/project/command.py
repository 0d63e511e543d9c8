"""`twinstream project new NAME`: a folder with a script and a notebook that read the lake, ready to run."""

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from localstack.profile import profile_from_environment
from twinstream.console import err
from twinstream.errors import CliError

app = typer.Typer(no_args_is_help=True, help="Make folders in which to explore the lake.")

_CELL: Final = "# %%"
_MARKDOWN: Final = "# %% [markdown]"


@app.callback()
def projects() -> None:
    """Keep `new` a command of its own, however many there are."""


@app.command()
def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", show_default=False, help="The folder to make.")],
) -> None:
    """Make a folder with a script and a notebook that read this machine's lake."""
    if name.exists():
        raise CliError(f"{name} is there already", "Choose another name.")
    environment = profile_from_environment().environment()
    script = (files("twinstream.project") / "explore.py.txt").read_text(encoding="utf-8")
    for mark, value in (
        ("@NAME@", name.name),
        ("@CATALOG@", repr(environment["TWINSTREAM_LAKE_CATALOG_URI"])),
        ("@WAREHOUSE@", repr(environment["TWINSTREAM_LAKE_WAREHOUSE"])),
    ):
        script = script.replace(mark, value)
    name.mkdir(parents=True)
    (name / "explore.py").write_text(script, encoding="utf-8")
    (name / "explore.ipynb").write_bytes(notebook(script))
    err().print(Text(f"{name} is there. Run it: {sys.executable} {name / 'explore.py'}"))


def notebook(script: str) -> bytes:
    """The cells of `script` as a notebook."""
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "cells": list(_cells(script)),
                "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        ),
        indent=1,
    )


def _cells(script: str) -> Iterator[dict[str, Any]]:
    """What stands between the marks; what stands before the first is the script's own docstring."""
    for number, part in enumerate(script.split(f"\n{_CELL}")[1:]):
        head, _, body = part.partition("\n")
        lines = body.strip("\n").splitlines(keepends=True)
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if f"{_CELL}{head}" == _MARKDOWN:
            yield cell | {"cell_type": "markdown", "source": [line.removeprefix("# ") for line in lines]}
        else:
            yield cell | {"cell_type": "code", "source": lines, "outputs": [], "execution_count": None}
