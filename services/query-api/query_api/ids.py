"""What an id may be: the same rule by which ingest takes one. An id that breaks it is refused, not looked for."""

import re
from typing import Final

from common.contracts import CONTROL_CHARACTERS, MAX_ID_CHARACTERS

_CONTROL: Final = re.compile(f"[{CONTROL_CHARACTERS}]")


def problem_of_id(id_: str) -> str | None:
    """What is wrong with `id_` and what would be right, or None."""
    if not 1 <= len(id_) <= MAX_ID_CHARACTERS:
        return f"an id has 1 to {MAX_ID_CHARACTERS} characters, and this one has {len(id_):,}"
    control = _CONTROL.search(id_)
    if control:
        return f"an id has no control characters, and this one has U+{ord(control[0]):04X} at {control.start()}"
    return None
