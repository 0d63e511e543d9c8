"""How paths are shown."""

import os
from pathlib import Path


def shown(path: Path) -> str:
    """`path` from the current folder where it is below it, whole elsewhere."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
