"""Packages out of dpkg's list."""

import pytest

from twinstream.demo.dpkg import Package, installed

STATUS = """\
Package: bash
Essential: yes
Status: install ok installed
Installed-Size: 7164
Conffiles:
 /etc/bash.bashrc 89269e1298235f1b12b4c16e4065ad0d
Description: GNU Bourne Again SHell
 Bash is an sh-compatible command language interpreter.
 .
  Indented, as lists are.
Homepage: http://tiswww.case.edu/php/chet/bash/bashtop.html

Package: gone
Status: deinstall ok config-files
Installed-Size: 5
Description: was here once

Package: virtual
Status: hold ok installed
"""

BASH = Package(
    "bash",
    7164,
    "GNU Bourne Again SHell\nBash is an sh-compatible command language interpreter.\n\nIndented, as lists are.",
)


@pytest.mark.parametrize("lines", [STATUS.splitlines(), STATUS.splitlines(keepends=True)])
def test_installed_packages_are_given_with_size_and_description(lines: list[str]) -> None:
    """Held ones too, but not what was removed; what a stanza does not tell is nought or empty."""
    assert list(installed(lines)) == [BASH, Package("virtual", 0, "")]


@pytest.mark.parametrize(
    "stanza",
    [
        "",
        "\n\n\n",
        "Status: install ok installed\nDescription: no name",
        "Package:\nStatus: install ok installed",
        "Package: x",
        " a continuation of nothing\nno colon here\nPackage: x\n",
        "Package: x\nStatus:\n",
        "Package: x\nStatus: install ok half-installed\n",
    ],
)
def test_what_is_no_installed_package_is_passed_over(stanza: str) -> None:
    """Whatever it is, the package behind it is found."""
    assert list(installed(stanza.splitlines())) == []
    assert next(iter(installed(f"{stanza}\n\n{STATUS}".splitlines()))) == BASH


def test_a_package_for_two_architectures_is_one() -> None:
    """They share their changelogs."""
    stanza = "Package: libc6\nStatus: install ok installed\nArchitecture: {}\nInstalled-Size: {}\n\n"
    lines = (stanza.format("amd64", 1) + stanza.format("i386", 2)).splitlines()
    assert list(installed(lines)) == [Package("libc6", 1, "")]


@pytest.mark.parametrize("size", ["", "-5", "7 MB", "1e3", "٣"])
def test_a_size_that_is_no_number_is_nought(size: str) -> None:
    """A package counts all the same."""
    (package,) = installed(f"Package: x\nStatus: install ok installed\nInstalled-Size: {size}\n".splitlines())
    assert package.size_kib in {0, 3}
