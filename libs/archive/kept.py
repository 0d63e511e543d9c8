"""Several archives beside each other, each called by the moment it was begun."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_MOMENT: Final = "%Y%m%dT%H%M%SZ"
_ANY: Final = "[0-9]" * 8 + "T" + "[0-9]" * 6 + "Z"


def called_by_moment(path: Path, now_ms: int) -> Path:
    """The path with the moment behind its name, in UTC: of kept.jsonl it is kept-20261126T021700Z.jsonl."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).strftime(_MOMENT)
    return path.with_stem(f"{path.stem}-{moment}")


def forget_all_but(path: Path, keep: int) -> None:
    """Delete the oldest of those that are called by `path` and a moment, so that `keep` are left."""
    moments = sorted(path.parent.glob(f"{path.stem}-{_ANY}{path.suffix}"))
    for old in moments[:-keep]:
        old.unlink(missing_ok=True)
