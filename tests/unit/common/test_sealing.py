"""Secrets are sealed for one name, under one key."""

import pytest

from common.errors import Refused
from common.sealing import Seal


def test_what_is_sealed_is_opened_by_whoever_has_the_secret() -> None:
    """Replicas share it; each time it reads differently, so equal secrets do not show."""
    sealed = Seal(b"s" * 32).seal("ops", "whsec_é")
    assert Seal(b"s" * 32).open("ops", sealed) == "whsec_é"
    assert "whsec" not in sealed
    assert sealed != Seal(b"s" * 32).seal("ops", "whsec_é")


@pytest.mark.parametrize(
    ("secret", "name", "damage"),
    [(b"t" * 32, "ops", ""), (b"s" * 32, "team", ""), (b"s" * 32, "ops", "AAAA"), (b"s" * 32, "ops", "é")],
)
def test_nothing_else_opens_it(secret: bytes, name: str, damage: str) -> None:
    """Another key, another name, another content."""
    sealed = Seal(b"s" * 32).seal("ops", "whsec_x") + damage
    with pytest.raises(Refused, match="set the secret anew"):
        Seal(secret).open(name, sealed)
