"""The README's commands can be typed one after the other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_nothing_is_made_twice_under_one_name() -> None:
    """The second time would be refused, for a name is given once."""
    said = (ROOT / "README.md").read_text(encoding="utf-8")
    of_curl = re.findall(r'/v1/(rules|destinations|conditions) [^{]*{"name": "(\w+)"', said)
    of_command = re.findall(r"twinstream (rules|destinations|conditions) create (\w+)", said)
    made = [*of_curl, *of_command]
    assert len(of_curl) >= 3
    assert len(of_command) >= 3
    assert len(made) == len(set(made))
